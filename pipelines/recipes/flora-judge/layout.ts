import {
  ATTRIBUTE_NAMES,
  ATTRIBUTES,
  type AttributeName,
  type FlowerAttributes,
} from '#pipelines/recipes/flora/attributes.ts';

/** What the judge answers where an attribute cannot be seen: petals and centre of a flower shown from the side. */
export const NOT_APPLICABLE = 'not applicable';

/** Answers of one attribute, in the order of their logits. */
export interface JudgedAttribute {
  readonly name: AttributeName;
  readonly values: readonly string[];
}

/** The columns of `logits` `[B, K]`: the answers of each attribute, one attribute after the other. */
export const LAYOUT: readonly JudgedAttribute[] = ATTRIBUTE_NAMES.map((name) => ({
  name,
  values: name === 'centreColour' || name === 'petalCount' ? [...ATTRIBUTES[name], NOT_APPLICABLE] : ATTRIBUTES[name],
}));

/** K, the number of logits of a picture. */
export const columnsOf = (layout: readonly JudgedAttribute[]): number =>
  layout.reduce((n, a) => n + a.values.length, 0);

/** What was seen; null is {@link NOT_APPLICABLE}. */
export type SeenAttributes = Readonly<Partial<Record<AttributeName, string | null>>>;

/** A 1 in the column of each attribute's value, into `out` at `offset`. */
export function writeOneHot(a: FlowerAttributes, out: Float32Array, offset: number): void {
  let column = offset;
  for (const { name, values } of LAYOUT) {
    out[column + values.indexOf(a[name] ?? NOT_APPLICABLE)] = 1;
    column += values.length;
  }
}

/** The answer with the largest logit for each attribute; `offset` is where the picture's row starts. */
export function readLogits(
  layout: readonly JudgedAttribute[],
  logits: ArrayLike<number>,
  offset: number,
): SeenAttributes {
  const seen: Partial<Record<AttributeName, string | null>> = {};
  let column = offset;
  for (const { name, values } of layout) {
    let best = 0;
    for (let i = 1; i < values.length; i++) if (logits[column + i]! > logits[column + best]!) best = i;
    const value = values[best]!;
    seen[name] = value === NOT_APPLICABLE ? null : value;
    column += values.length;
  }
  return seen;
}
