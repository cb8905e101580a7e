import { expect, test } from 'vitest';
import { followSteps, mapSteps } from '#pipelines/sampling/follow-steps.ts';

/** Counts to three, and says when it was closed. */
function counter() {
  const seen = { closed: 0 };
  async function* count(): AsyncGenerator<number, string> {
    try {
      for (let i = 1; i <= 3; i++) yield i;
      return 'done';
    } finally {
      seen.closed++;
    }
  }
  return { seen, count };
}

test('every step is told, changed, and the result comes at the end', async () => {
  const { seen, count } = counter();
  const told: number[] = [];
  const result = await followSteps(
    mapSteps(count(), (i) => 10 * i),
    (i) => void told.push(i),
  );
  expect([told, result, seen.closed]).toEqual([[10, 20, 30], 'done', 1]);
});

test('work that is cancelled at a step closes what it opened, and passes on why', async () => {
  const { seen, count } = counter();
  const cancelled = followSteps(
    mapSteps(count(), (i) => i),
    (i) => {
      if (i === 2) throw new Error('cancelled');
    },
  );
  await expect(cancelled).rejects.toThrow('cancelled');
  expect(seen.closed).toBe(1);
});

test('so does work that fails on the way, once', async () => {
  const { seen, count } = counter();
  const failing = mapSteps(count(), (i) => {
    if (i === 2) throw new RangeError('two');
    return i;
  });
  await expect(followSteps(failing, () => {})).rejects.toThrow('two');
  expect(seen.closed).toBe(1);
});
