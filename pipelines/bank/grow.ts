import type { Bank, BankItem } from './bank.ts';
import { openForGrowing } from './bank.ts';
import type { BankSource, MakeHooks } from './source.ts';

export interface GrowHooks extends Omit<MakeHooks, 'onStep'> {
  /** Samples that are there, with the part of those in the making. */
  readonly onProgress?: (samples: number) => void;
}

/**
 * Makes the samples that a bank lacks to have `count`. Each is on disk before the next is begun: what was made stays when this is
 * stopped, and the next time only the rest is made. Sample i is the same however the bank came to be.
 */
export async function growBank(bank: Bank, source: BankSource, count: number, hooks: GrowHooks = {}): Promise<Bank> {
  const items: BankItem[] = [...bank.items];
  const { onProgress, ...rest } = hooks;
  onProgress?.(items.length);
  if (items.length >= count) return bank;
  const growing = openForGrowing(bank);
  try {
    let since = performance.now();
    const onStep = (samples: number) => onProgress?.(Math.min(items.length + samples, count));
    for await (const { png, ...made } of source.make(items.length, count, { ...rest, onStep })) {
      const now = performance.now();
      const item = { ...made, seconds: (now - since) / 1000 };
      since = now;
      growing.add(item, png);
      items.push(item);
      onProgress?.(items.length);
    }
  } finally {
    growing.close();
  }
  return { ...bank, items };
}
