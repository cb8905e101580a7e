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

/** A reward ready to score. `score` gives one finite number per item, in order. */
export interface Reward {
  readonly name: string;
  readonly higherIsBetter: boolean;
  /** What it can score; absent where only scoring will tell. */
  readonly kinds?: readonly RewardItem['kind'][];
  score(items: readonly RewardItem[]): Promise<Float32Array>;
  close(): Promise<void>;
}
