import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createSteering } from '#pipelines/decoding/index.ts';
import { maskedChain } from '#pipelines/decoding/masked-chain.ts';
import { svdd, svddOptions } from '#pipelines/decoding/svdd.ts';
import { collectValueData, type ValueData } from '#pipelines/decoding/value-data.ts';
import { loadValueNetwork, saveValueNetwork } from '#pipelines/decoding/value-network.ts';
import { trainValueNetwork, valueTrainingOptions } from '#pipelines/decoding/value-training.ts';
import { createMaskedSchedule, parseMaskedSchedulerConfig } from '#pipelines/schedulers/index.ts';
import { TOY_A } from '#test/support/masked-toy.ts';
import { finish, maskedToy, mean, tableReward } from './toys.ts';

vi.setConfig({ testTimeout: 60_000 });
const schedule = createMaskedSchedule(parseMaskedSchedulerConfig({}), {
  name: 'masked-one-at-a-time',
  steps: 0,
  length: 2,
});
/** State, step, α·log E exp(r/α) at α = 1, and E r: enumerated apart from this code. */
const TABLE = [
  [[0, 2], 1, 0.823215, 0.4],
  [[1, 2], 1, 0.26853, -0.2],
  [[2, 0], 1, 0.452832, 1 / 3],
  [[2, 1], 1, 0.752912, -0.25],
] as const;
const told = (chain: ReturnType<typeof chainOf>) => chain.evaluate(0, [{ row: 0, state: chain.start(0) }]);
const { score } = tableReward(TOY_A, [0, 2, 1, -1]);
const trained = (options: object) => ({ ...valueTrainingOptions.parse({ weightDecay: 0, ...options }), seed: 0 });
const belongs = { modelHash: 'a'.repeat(64), reward: 'table' };

let toy: Awaited<ReturnType<typeof maskedToy>>;
let data: ValueData;
const folder = mkdtempSync(join(tmpdir(), 'value-'));
const chainOf = (rows: number) => maskedChain(toy.denoiser, schedule, toy.rows(rows));
beforeAll(async () => {
  toy = await maskedToy(TOY_A);
  const lessons = { statesEach: 1, candidates: 2, led: 0.3, by: 'own' } as const;
  const collecting = collectValueData(chainOf(24_000), score, lessons, (made) => {
    data = made;
  });
  await finish(collecting);
});
afterAll(async () => {
  await toy.close();
  rmSync(folder, { recursive: true });
});

describe('a value network learns', () => {
  test('nothing from samples that were led, of what becomes of a state by itself', () => {
    const share = data.plain.reduce((a, b) => a + b, 0) / data.plain.length;
    expect(share).toBeCloseTo(0.7, 1);
    const ends = (plain: number) => mean(data.rewards.filter((_, i) => data.plain[i] === plain));
    // The mean of the model; and better than that, by what one of two steps can do for half of the led: luck is 0.01.
    expect(ends(1)).toBeCloseTo(0.1, 1);
    expect(ends(0)).toBeGreaterThan(ends(1) + 0.03);
  });

  test('to choose among candidates as the best guesses of the model would', async () => {
    const options = trained({ hidden: 16, updates: 600, batch: 256 });
    const { card } = await trainValueNetwork(data, belongs, options);
    expect(card.kind).toBe('guess');
    expect(card.choice?.[1]).toBeGreaterThan(0.99);
    expect(card.correlation?.[1]).toBeCloseTo(card.guessCorrelation![1]!, 1);
  });

  test.each(['soft', 'mean'] as const)('the %s value of every state', async (kind) => {
    const options = trained({ kind, alpha: 1, hidden: 16, updates: 1200, batch: 256 });
    saveValueNetwork(join(folder, kind), await trainValueNetwork(data, belongs, options));
    const values = await loadValueNetwork(join(folder, kind), belongs);
    const chain = chainOf(1);
    const before = await told(chain);
    toy.calls.count = 0;
    for (const [tokens, step, soft, plain] of TABLE) {
      const at = [{ row: 0, state: { tokens: Int32Array.from(tokens), time: 1 } }];
      const [value] = await values.of(chain).values(step, at, [], before);
      // Twenty thousand samples: about 0.02 of luck in the data of the rarest state.
      expect(Math.abs(value! - (kind === 'soft' ? soft : plain)), `${tokens}`).toBeLessThan(0.06);
    }
    expect(toy.calls.count).toBe(0);
    await values.close();
  });

  test('and decoding with it asks the denoiser no more than plain sampling does, and finds better samples', async () => {
    const values = await loadValueNetwork(join(folder, 'soft'), belongs);
    const chain = chainOf(2000);
    toy.calls.count = 0;
    const options = svddOptions.parse({ candidates: 8, alpha: 1 });
    const { rewards } = await finish(svdd(chain, values.of(chain), score, options));
    expect(toy.calls.count).toBeLessThanOrEqual(2000 * 2);
    expect(mean(rewards)).toBeGreaterThan(0.7);
    await values.close();
  });
});

test('svdd-mc reads the network from its folder, and not without knowing the model', async () => {
  const steering = createSteering('svdd-mc', { value: join(folder, 'soft'), candidates: 8 });
  const work = { denoiser: toy.denoiser, schedule, rows: toy.rows(40) };
  const one = await finish(steering.masked(work, score, { target: async () => belongs }));
  const values = await loadValueNetwork(join(folder, 'soft'), belongs);
  const chain = chainOf(40);
  const options = svddOptions.parse({ candidates: 8, alpha: 1 });
  expect(one.samples).toEqual((await finish(svdd(chain, values.of(chain), score, options))).samples);
  await values.close();
  for (const [aids, code] of [
    [{ target: async () => ({ ...belongs, modelHash: 'b'.repeat(64) }) }, 'value/other-model'],
    [{ target: async () => ({ ...belongs, reward: 'gc' }) }, 'value/other-reward'],
    [{}, 'value/other-model'],
  ] as const) {
    await expect(finish(steering.masked(work, score, aids))).rejects.toMatchObject({ code });
  }
});

test('the same data and seed train the same network', async () => {
  const options = trained({ hidden: 4, updates: 5 });
  const [a, b] = [await trainValueNetwork(data, belongs, options), await trainValueNetwork(data, belongs, options)];
  expect(a).toEqual(b);
});

describe('a folder is refused', () => {
  const network = () => trainValueNetwork(data, belongs, trained({ hidden: 2, updates: 1, heldOut: 0 }));

  test('that belongs to another model', async () => {
    saveValueNetwork(join(folder, 'other'), await network());
    await expect(
      loadValueNetwork(join(folder, 'other'), { ...belongs, modelHash: 'b'.repeat(64) }),
    ).rejects.toMatchObject({
      code: 'value/other-model',
    });
  });

  test('whose reward has changed since', async () => {
    const file = join(folder, 'reward.json');
    writeFileSync(file, '{"ends": 1}');
    const of = { ...belongs, reward: `onnx:${file}` };
    saveValueNetwork(join(folder, 'changed'), await trainValueNetwork(data, of, trained({ hidden: 2, updates: 1 })));
    await (await loadValueNetwork(join(folder, 'changed'), of)).close();
    writeFileSync(file, '{"ends": 2}');
    await expect(loadValueNetwork(join(folder, 'changed'), of)).rejects.toMatchObject({
      code: 'value/changed-reward',
      hint: expect.stringContaining('Train one for the reward as it is now'),
    });
  });

  test('that is missing or not described', async () => {
    await expect(loadValueNetwork(join(folder, 'none'), belongs)).rejects.toMatchObject({
      code: 'value/missing',
    });
    saveValueNetwork(join(folder, 'broken'), await network());
    writeFileSync(join(folder, 'broken', 'value.json'), '{"alpha": 0}');
    await expect(loadValueNetwork(join(folder, 'broken'), belongs)).rejects.toMatchObject({
      code: 'value/card',
    });
  });

  test('for samples of another length', async () => {
    saveValueNetwork(join(folder, 'length'), await network());
    const values = await loadValueNetwork(join(folder, 'length'), belongs);
    const chain = { ...chainOf(1), featureDims: [3, 3] };
    expect(() => values.of(chain)).toThrow(expect.objectContaining({ code: 'value/shape' }));
    await values.close();
  });
});
