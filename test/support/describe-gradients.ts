import { describe, expect, test } from 'vitest';
import { checkGradient, type GradientCase } from './check-gradient.ts';

/** One test per case. Files that call this hold nothing else about gradients. */
export function describeGradients(what: string, cases: readonly GradientCase[]): void {
  describe(`gradients of ${what} are the differences of the graph, and inferred shapes are the runtime's`, () => {
    for (const c of cases) {
      test(c.title, async () => {
        const first = await checkGradient(c);
        // The long steps of float32 may cross a kink beside the point. A wrong rule is wrong at another point too.
        const again = first.wrong.length > 0 && first.precision === 'float32';
        expect((again ? await checkGradient(c, 2) : first).wrong).toEqual([]);
      });
    }
  });
}
