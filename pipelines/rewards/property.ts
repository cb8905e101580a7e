import { NorthlightError } from '#models/errors.ts';
import type { BuiltInReward } from './built-in.ts';
import { pictureGraph, pictureOnly } from './picture-graph.ts';
import type { SequenceReward } from './sequences/define.ts';
import type { Reward, RewardItem } from './types.ts';

/** Any reward that ships: of pictures or of sequences. */
export type Definition = BuiltInReward | SequenceReward;

/** A definition with its options: a number of one item. */
export interface Property {
  readonly kind: RewardItem['kind'];
  measure(item: RewardItem): number | Promise<number>;
}

/** @param options as the definition's schema gives them. @throws {NorthlightError} what reading its files throws. */
export function openProperty(definition: Definition, options: Record<string, unknown>): Property {
  const { kind, name } = definition;
  const wrong = () =>
    new NorthlightError(
      'reward/kind',
      kind === 'image'
        ? `It is a sequence, and the reward "${name}" scores pictures.`
        : `It is a picture, and the reward "${name}" scores sequences.`,
      `Choose a reward of ${kind === 'image' ? 'sequences' : 'pictures'}.`,
    );
  if (definition.kind === 'image') {
    return {
      kind,
      measure: (item) => {
        if (item.kind !== 'image') throw wrong();
        return definition.score(item, options);
      },
    };
  }
  const measure = definition.open(options);
  return {
    kind,
    measure: (item) => {
      if (item.kind !== 'sequence') throw wrong();
      if (item.sequence !== '') return measure(item.sequence);
      throw new NorthlightError('reward/length', 'The sequence is empty.', 'Leave empty sequences out.');
    },
  };
}

/** A reward from a measure of single items; errors name the item. */
export function rewardOfItems(
  { name, higherIsBetter, kinds }: Pick<Reward, 'name' | 'higherIsBetter' | 'kinds'>,
  measure: Property['measure'],
): Reward {
  return {
    name,
    higherIsBetter,
    ...(kinds === undefined ? {} : { kinds }),
    async score(items) {
      const scores = new Float32Array(items.length);
      for (const [i, item] of items.entries()) {
        try {
          scores[i] = await measure(item);
        } catch (error) {
          if (!(error instanceof NorthlightError)) throw error;
          throw new NorthlightError(error.code, `Item ${i}: ${error.message}`, error.hint, { cause: error });
        }
      }
      return scores;
    },
    close: async () => {},
  };
}

/** The reward of one definition. @param name as it was asked for. */
export function rewardOfDefinition(definition: Definition, options: Record<string, unknown>, name: string): Reward {
  const { measure, kind } = openProperty(definition, options);
  const higherIsBetter = definition.higherIsBetter ?? true;
  const reward = rewardOfItems({ name, higherIsBetter, kinds: [kind] }, measure);
  const formula = definition.kind === 'image' ? definition.graph : undefined;
  if (formula === undefined) return reward;
  return { ...reward, graph: (item) => pictureGraph(pictureOnly(item, name), formula, higherIsBetter) };
}
