import type { Model } from '#models/onnx/ir.ts';

/** What a reward is given: decoded pictures (and the prompt each was asked for) or sequences. */
export interface ImageItem {
  readonly kind: 'image';
  /** RGB, rows top to bottom, `[H, W, 3]` bytes. */
  readonly rgb: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly prompt: string;
}

export interface SequenceItem {
  readonly kind: 'sequence';
  readonly sequence: string;
}

export type RewardItem = ImageItem | SequenceItem;

/** A picture as models make it: planes of numbers. */
export interface PictureShape {
  readonly kind: 'image';
  readonly channels: 1 | 3;
  readonly width: number;
  readonly height: number;
}

/** A sequence as probabilities of letters, `[L, A]`. */
export interface SequenceShape {
  readonly kind: 'sequence';
  readonly length: number;
  /** Letter of each column. */
  readonly alphabet: string;
}

/** A reward ready to score. `score` gives one finite number per item, in order. */
export interface Reward {
  readonly name: string;
  readonly higherIsBetter: boolean;
  /** What it can score; absent where only scoring will tell. */
  readonly kinds?: readonly RewardItem['kind'][];
  score(items: readonly RewardItem[]): Promise<Float32Array>;
  /**
   * Its formula as a graph of one item, for those who need a gradient: `item`, `[1, C, H, W]` in −1…1 or `[1, L, A]`, to `score []`, higher
   * is better. Absent where there is none. @throws {NorthlightError} where it cannot take such an item.
   */
  graph?(item: PictureShape | SequenceShape): Model;
  close(): Promise<void>;
}
