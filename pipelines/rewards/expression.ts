import { NorthlightError } from '#models/errors.ts';
import { evaluate, type Formula, parseFormula, propertiesOf } from './formula.ts';
import { type Definition, openProperty, type Property, rewardOfItems } from './property.ts';
import { checkOptions } from './spec.ts';
import type { Reward, RewardItem } from './types.ts';

type PropertyNode = Formula & { readonly kind: 'property' };

/**
 * A formula over the rewards that ship as a reward, higher is better: `-abs(gc-0.5)*10 + motif("TATAAA")`. A property that stands in
 * it twice with the same arguments is measured once.
 * @throws {NorthlightError} `reward/formula`, `reward/option`; scoring throws `reward/not-finite` and what the properties throw.
 */
export function createExpressionReward(formula: string, definitions: ReadonlyMap<string, Definition>): Reward {
  const tree = parseFormula(formula, [...definitions.keys()]);
  const properties = new Map<string, Property>();
  for (const node of propertiesOf(tree)) {
    const key = keyOf(node);
    if (!properties.has(key)) properties.set(key, open(node, definitions.get(node.name)!));
  }
  const kinds = new Set([...properties.values()].map(({ kind }) => kind));
  if (kinds.size !== 1) {
    throw new NorthlightError(
      'reward/formula',
      kinds.size === 0
        ? `The formula ${formula} reads no property: it gives everything the same score.`
        : `The formula ${formula} reads properties of pictures and of sequences.`,
      'Use properties of one kind.',
    );
  }
  const measure = async (item: RewardItem) => {
    const values = new Map<string, number>();
    for (const [key, property] of properties) values.set(key, await property.measure(item));
    const score = evaluate(tree, (node) => values.get(keyOf(node))!);
    if (Number.isFinite(Math.fround(score))) return score;
    const known = [...values].map(([key, value]) => `${key} = ${value}`).join(', ');
    throw new NorthlightError(
      'reward/not-finite',
      `The formula gives ${score} where ${known}.`,
      'Keep it from dividing by 0 and from logarithms of 0, for example by max(…, 1e-6).',
    );
  };
  return rewardOfItems({ name: `expr:${formula}`, higherIsBetter: true, kinds: [...kinds] }, measure);
}

const keyOf = ({ name, args }: PropertyNode) =>
  args.length === 0
    ? name
    : `${name}(${args.map((a) => `${a.name === undefined ? '' : `${a.name}=`}${JSON.stringify(a.value)}`).join(', ')})`;

function open(node: PropertyNode, definition: Definition): Property {
  const options: Record<string, unknown> = {};
  for (const { name, value } of node.args) {
    const key = name ?? definition.positional;
    if (key === undefined || key in options) {
      throw new NorthlightError(
        'reward/formula',
        `Position ${node.at + 1} of the formula: ${definition.name} takes ${name === undefined ? 'no argument without a name' : `"${name}" once`}.`,
        `Its options are ${Object.keys(definition.options.shape).join(', ') || 'none'}.`,
      );
    }
    options[key] = String(value);
  }
  return openProperty(definition, checkOptions(definition, options));
}
