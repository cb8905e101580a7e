import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession, type Session } from '#models/runtime/session.ts';
import { fromNumbers } from '#models/tensor/tensor.ts';
import { subsLogProbs } from '#pipelines/sampling/masked-kernel.ts';
import { type MaskedDenoiser, type MaskedRow, maskedLoop } from '#pipelines/sampling/masked-loop.ts';
import { createMaskedSchedule, parseMaskedSchedulerConfig } from '#pipelines/schedulers/index.ts';
import type { MaskedSchedule } from '#pipelines/schedulers/types.ts';
import { exactLaw, statesOf, TOY_A, type ToyLaw, toyModel } from '#test/support/masked-toy.ts';

/** Four letters, three positions, no symmetry. */
const LARGER: ToyLaw = {
  letters: 4,
  length: 3,
  joint: ((weights) => weights.map((w) => w / weights.reduce((a, b) => a + b, 0)))(
    Array.from({ length: 64 }, (_, n) => 1 + ((n * 37) % 11) + (n % 5 === 0 ? 20 : 0)),
  ),
};

const schedule = (name: MaskedSchedule['name'], steps: number, json: object = {}, length = 2): MaskedSchedule =>
  createMaskedSchedule(parseMaskedSchedulerConfig(json), {
    name: name as 'masked' | 'masked-one-at-a-time',
    steps,
    length,
  });

/** The toy network through the runtime, as many sequences per call as are asked about. */
function denoiserOf(session: Session, { letters, length }: ToyLaw) {
  const calls = { count: 0, times: [] as number[] };
  const written = Array.from({ length: letters }, (_, k) => k);
  const denoiser: MaskedDenoiser<null> = {
    maskId: letters,
    timeConditioned: true,
    async predict(queries) {
      calls.count += queries.length;
      calls.times.push(...queries.map((q) => q.time));
      const ids = queries.flatMap((q) => Array.from(q.tokens));
      const { logits } = await session.run({ input_ids: fromNumbers('int64', [queries.length, length], ids) });
      const size = length * (letters + 1);
      const data = logits!.data as Float32Array;
      return queries.map((q, i) => subsLogProbs(data.subarray(i * size, (i + 1) * size), q.tokens, letters, written));
    },
  };
  return { denoiser, calls };
}

const rowsOf = (indices: readonly number[], { letters, length }: ToyLaw, seed = 7): MaskedRow<null>[] =>
  indices.map((index) => ({ condition: null, seed, index, start: new Int32Array(length).fill(letters) }));

async function finish<T>(loop: AsyncGenerator<unknown, T>): Promise<T> {
  for (;;) {
    const next = await loop.next();
    if (next.done) return next.value;
  }
}

let toyA: Session;
let larger: Session;
beforeAll(async () => {
  toyA = await createSession(encodeModel(toyModel({ laws: [TOY_A] })), { threads: 1 });
  larger = await createSession(encodeModel(toyModel({ laws: [LARGER] })), { threads: 1 });
});
afterAll(async () => {
  await toyA.release();
  await larger.release();
});

const answersOf = async (session: Session, law: ToyLaw) =>
  await denoiserOf(session, law).denoiser.predict(
    statesOf(law).map((tokens) => ({ tokens, time: 1, condition: null })),
  );

describe('the exact law of the shipped kernels, over all states of an ONNX model', () => {
  test.each([
    [1, [0.3, 0.2, 0.3, 0.2]],
    [2, [0.35, 0.15, 0.25, 0.25]],
    [8, [0.3875, 0.1125, 0.2125, 0.2875]],
  ])('of %i ancestral steps on an even grid is (1 − 1/T)·p + 1/T·p₁⊗p₂', async (steps, expected) => {
    const law = exactLaw(TOY_A, schedule('masked', steps, { final_time: 0 }), await answersOf(toyA, TOY_A));
    expected.forEach((p, n) => {
      expect(law[n]).toBeCloseTo(p, 7);
    });
  });

  test('of ancestral steps with noise removal mixes by the chance that both positions fall into one step', async () => {
    const end = 0.1;
    const sampled = schedule('masked', 3, { final_time: end, noise_removal: 'sample' });
    const c = 3 * ((1 - end) / 3) ** 2 + end ** 2;
    const law = exactLaw(TOY_A, sampled, await answersOf(toyA, TOY_A));
    [0.3, 0.2, 0.3, 0.2].forEach((independent, n) => {
      expect(law[n]).toBeCloseTo((1 - c) * TOY_A.joint[n]! + c * independent, 7);
    });
  });

  test('of noise removal by argmax puts what is left on the likeliest letters, the first of a tie', async () => {
    // Both positions left: letter 0 is likeliest at each (p₁ ties, p₂ = .6).
    const law = exactLaw(
      TOY_A,
      { kind: 'masked', name: 'argmax', steps: [{ time: 1e-5, reveal: 1, fill: 'argmax' }] },
      await answersOf(toyA, TOY_A),
    );
    expect(law).toEqual([1, 0, 0, 0]);
  });

  test.each([
    ['two positions', TOY_A, () => toyA],
    ['three positions of four letters', LARGER, () => larger],
  ] as const)('of one position at a time is the model’s own, %s', async (_, toy, session) => {
    const law = exactLaw(toy, schedule('masked-one-at-a-time', 0, {}, toy.length), await answersOf(session(), toy));
    toy.joint.forEach((p, n) => {
      expect(law[n]).toBeCloseTo(p, 6);
    });
  });
});

describe('samples', () => {
  const DRAWS = 200_000;
  const AT_ONCE = 20_000;

  test.each([
    ['masked-one-at-a-time', 0],
    ['masked', 2],
  ])(
    'of %s (%i steps) follow the exact law within four standard errors',
    async (name, steps) => {
      const { denoiser } = denoiserOf(toyA, TOY_A);
      const plan = schedule(name, steps, { final_time: 0 });
      const law = exactLaw(TOY_A, plan, await answersOf(toyA, TOY_A));
      const counts = [0, 0, 0, 0];
      for (let from = 0; from < DRAWS; from += AT_ONCE) {
        const rows = rowsOf(
          Array.from({ length: AT_ONCE }, (_, i) => from + i),
          TOY_A,
        );
        for (const [a, b] of await finish(maskedLoop(denoiser, plan, rows))) counts[a! * 2 + b!]!++;
      }
      for (const [n, p] of law.entries()) {
        expect(Math.abs(counts[n]! / DRAWS - p)).toBeLessThan(4 * Math.sqrt((p * (1 - p)) / DRAWS));
      }
    },
    60_000,
  );

  test('do not depend on which others are made beside them', async () => {
    const { denoiser } = denoiserOf(larger, LARGER);
    for (const name of ['masked', 'masked-one-at-a-time']) {
      const plan = schedule(name, 5, {}, LARGER.length);
      const make = async (indices: number[]) => await finish(maskedLoop(denoiser, plan, rowsOf(indices, LARGER)));
      const together = await make([0, 1, 2, 3, 4, 5, 6, 7]);
      const apart = [...(await make([6, 2])), ...(await make([3]))];
      expect(apart).toEqual([together[6], together[2], together[3]]);
      expect(new Set(together.map(String)).size).toBeGreaterThan(3);
    }
  });

  test('keep what they start with, and are conditioned on it', async () => {
    const { denoiser } = denoiserOf(toyA, TOY_A);
    const rows = rowsOf(
      Array.from({ length: 2000 }, (_, i) => i),
      TOY_A,
    ).map((row) => ({ ...row, start: Int32Array.of(1, 2) }));
    const made = await finish(maskedLoop(denoiser, schedule('masked', 4), rows));
    expect(made.every(([first]) => first === 1)).toBe(true);
    // P(second is 1 | first is 1) = .3/.5
    const share = made.filter(([, second]) => second === 1).length / made.length;
    expect(Math.abs(share - 0.6)).toBeLessThan(4 * Math.sqrt((0.6 * 0.4) / made.length));
  });

  test('differ between seeds', async () => {
    const { denoiser } = denoiserOf(larger, LARGER);
    const plan = schedule('masked', 5, {}, LARGER.length);
    const make = async (seed: number) =>
      await finish(maskedLoop(denoiser, plan, rowsOf([0, 1, 2, 3, 4, 5], LARGER, seed)));
    expect(await make(1)).not.toEqual(await make(2));
  });
});

describe('the network', () => {
  test('is asked only about sequences that change, and never about finished ones', async () => {
    const { denoiser, calls } = denoiserOf(larger, LARGER);
    const rows = rowsOf(
      Array.from({ length: 500 }, (_, i) => i),
      LARGER,
    );
    let changes = 0;
    let before = rows.map((row) => row.start);
    const loop = maskedLoop(denoiser, schedule('masked', 64, {}, LARGER.length), rows);
    for (let next = await loop.next(); !next.done; next = await loop.next()) {
      changes += next.value.tokens.filter((t, i) => t.join() !== before[i]!.join()).length;
      before = [...next.value.tokens];
    }
    expect(calls.count).toBe(changes);
    // Three reveals, now and then two in one step.
    expect(calls.count / rows.length).toBeGreaterThan(2.9);
    expect(calls.count / rows.length).toBeLessThanOrEqual(3);
  });

  test('is told the times of a grid, or the random ones at which the reveals happen', async () => {
    const grid = denoiserOf(toyA, TOY_A);
    await finish(maskedLoop(grid.denoiser, schedule('masked', 2, { final_time: 0 }), rowsOf([0, 1, 2, 3, 4], TOY_A)));
    expect(new Set(grid.calls.times)).toEqual(new Set([1, 0.5]));
    const hitting = denoiserOf(toyA, TOY_A);
    const rows = rowsOf(
      Array.from({ length: 4000 }, (_, i) => i),
      TOY_A,
    );
    await finish(maskedLoop(hitting.denoiser, schedule('masked-one-at-a-time', 0), rows));
    // The larger and the smaller of two uniform times.
    const mean = (times: number[]) => times.reduce((a, b) => a + b, 0) / times.length;
    expect(Math.abs(mean(hitting.calls.times.slice(0, 4000)) - 2 / 3)).toBeLessThan(4 * Math.sqrt(1 / 18 / 4000));
    expect(Math.abs(mean(hitting.calls.times.slice(4000)) - 1 / 3)).toBeLessThan(4 * Math.sqrt(1 / 18 / 4000));
  });

  test('that gives no number is refused, naming the sequence and the step', async () => {
    const broken: MaskedDenoiser<null> = {
      maskId: 2,
      timeConditioned: false,
      predict: async (queries) => queries.map(() => new Float64Array(6).fill(Number.NaN)),
    };
    await expect(finish(maskedLoop(broken, schedule('masked-one-at-a-time', 0), rowsOf([4], TOY_A)))).rejects.toThrow(
      /sequence 4 at step 1 of 2/,
    );
  });
});
