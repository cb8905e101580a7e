import type { BankItem } from './bank.ts';
import type { BankIdentity } from './key.ts';

/** What makes the samples of a bank. */
export interface BankSource {
  readonly identity: BankIdentity;
  /** Samples through the denoiser so far. */
  readonly calls: { readonly count: number };
  /** Samples from … to − 1, each as soon as it is finished. */
  make(from: number, to: number, hooks: MakeHooks): AsyncGenerator<MadeSample>;
}

export interface MadeSample extends Omit<BankItem, 'seconds'> {
  /** The file of a picture. */
  readonly png?: Uint8Array;
}

export interface MakeHooks {
  /** After every step: how much of the samples in the making is done, in samples. */
  readonly onStep?: (samples: number) => void;
  /** Asked before every step; stops by throwing. */
  readonly checkpoint?: () => void;
  readonly onNote?: (message: string) => void;
}
