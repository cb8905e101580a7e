/** A place in the picture, in its own pixels. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** One thing done to a mask. All of them in order are the mask, so that it can be undone and drawn at any size. */
export type MaskMark =
  | {
      readonly kind: 'stroke';
      readonly erase: boolean;
      /** Diameter of the brush, in pixels of the picture. */
      readonly size: number;
      readonly points: readonly Point[];
    }
  /** All that was marked is not, and the other way about. */
  | { readonly kind: 'invert' }
  | { readonly kind: 'clear' }
  /** White of a picture of the project, which covers what is used of the picture to start from. */
  | { readonly kind: 'picture'; readonly hash: string };

/** What of a start picture may change. */
export interface Mask {
  readonly marks: readonly MaskMark[];
  /** Of what is used of the picture, 0…1; null until it was drawn. */
  readonly share: number | null;
}

/** Whether anything is marked: with nothing marked all of the picture may change. */
export const marks = (mask: Mask | null): mask is Mask => mask !== null && mask.marks.length > 0 && mask.share !== 0;

export const maskFrom = (hash: string | null): Mask | null =>
  hash === null ? null : { marks: [{ kind: 'picture', hash }], share: null };

/**
 * What is used of a picture for one of another shape, as the engine cuts it: scaled until it covers, cut evenly at both ends.
 * @returns in pixels of the picture; `scale`: pixels made of each of them.
 */
export function usedPart(picture: Size, made: Size): Size & { left: number; top: number; scale: number } {
  const scale = Math.max(made.width / picture.width, made.height / picture.height);
  const [width, height] = [made.width / scale, made.height / scale];
  return { left: (picture.width - width) / 2, top: (picture.height - height) / 2, width, height, scale };
}

/** The next brush up or down, a quarter larger or smaller, from 1 pixel to the shorter side of the picture. */
export function nextBrush(size: number, by: 1 | -1, { width, height }: Size): number {
  const next = by === 1 ? Math.max(size + 1, Math.round(size * 1.25)) : Math.min(size - 1, Math.round(size / 1.25));
  return Math.min(Math.max(next, 1), Math.min(width, height));
}

/** A brush to begin with: a sixth of the shorter side. */
export const firstBrush = ({ width, height }: Size): number => Math.max(1, Math.round(Math.min(width, height) / 6));

/** How much may change, in words. */
export function shareWords(mask: Mask | null): string {
  if (mask?.share == null) return mask ? 'Only what is marked may change.' : 'All of the picture may change.';
  if (!marks(mask)) return 'Nothing is marked: all of the picture may change.';
  const percent = Math.round(100 * mask.share);
  return `${percent === 0 ? 'Less than 1' : percent} % of the picture may change; the rest stays as it is.`;
}
