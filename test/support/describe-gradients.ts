import { describe, expect, test } from 'vitest';
import { checkGradient, type GradientCase } from './check-gradient.ts';

/** One test per case. Files that call this hold nothing else about gradients. */
export function describeGradients(what: string, cases: readonly GradientCase[]): void {
  describe(`gradients of ${what} are the differences of the graph, and inferred shapes are the runtime's`, () => {
    for (const c of cases) {
      test(c.title, async () => {
        expect((await checkGradient(c)).wrong).toEqual([]);
      });
    }
  });
}
