import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test as prop } from '@fast-check/vitest';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSequenceModel } from '#models/families/sequence-model.ts';
import type { Model } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, i64, type Tensor } from '#models/tensor/tensor.ts';
import { createTrainerState, trainSteps } from '#models/training/trainer.ts';
import { enhancerBatches } from '#pipelines/recipes/enhancer-dna/batches.ts';
import { drawDataset } from '#pipelines/recipes/enhancer-dna/dataset.ts';
import type { Evaluation } from '#pipelines/recipes/enhancer-dna/evaluate.ts';
import { antitheticTimes, EPS, maskedFeeds } from '#pipelines/recipes/enhancer-dna/masking.ts';
import { buildDenoiser, type DenoiserConfig, MASK_ID, NULL_CLASS } from '#pipelines/recipes/enhancer-dna/network.ts';
import { buildOracle, ORACLE } from '#pipelines/recipes/enhancer-dna/oracle-network.ts';
import { exportOracle } from '#pipelines/recipes/enhancer-dna/oracle-train.ts';
import { enhancerDnaSchema, trainEnhancerDna } from '#pipelines/recipes/enhancer-dna/train.ts';
import { buildDenoiserTrainingGraph } from '#pipelines/recipes/enhancer-dna/training-graph.ts';
import { recipes } from '#pipelines/recipes/index.ts';
import type { RecipeIo } from '#pipelines/recipes/types.ts';
import { withWeights } from '#pipelines/recipes/weights.ts';

const TINY: DenoiserConfig = { length: 200, width: 8, kernel: 3, dilations: [1], embedding: 8 };

const weightsOf = (model: Model, names: readonly string[]) =>
  Object.fromEntries(names.map((n) => [n, model.graph.initializers.get(n) as Tensor<'float32'>]));

async function lossOf(model: Model, length: number, feeds: Record<string, Tensor>): Promise<number> {
  const graph = buildDenoiserTrainingGraph(model, feeds.input_ids!.dims[0]!, length, { kind: 'flat' });
  const session = await createSession(encodeModel(graph.model), { threads: 1 });
  const { loss } = await session.run({ ...feeds, ...weightsOf(model, graph.parameters) }, ['loss']);
  await session.release();
  return (loss!.data as Float32Array)[0]!;
}

/** Weights away from the zeros that the last layers start with. */
function shaken(model: Model, seed: number): Model {
  const rng = new Rng(seed);
  const weights = new Map<string, Tensor<'float32'>>();
  for (const [name, w] of model.graph.initializers) {
    const t = w as Tensor<'float32'>;
    if (/\.(weight|bias)$/.test(name))
      weights.set(
        name,
        f32(
          t.dims,
          t.data.map((v) => v + 0.3 * rng.normal()),
        ),
      );
  }
  return withWeights(model, weights);
}

describe('times of a batch', () => {
  prop.prop([fc.integer({ min: 1, max: 64 }), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })])(
    'fall one into each of as many equal parts of time',
    (batch, uniform) => {
      const parts = antitheticTimes(batch, uniform)
        .map((t) => (t - EPS) / (1 - EPS))
        .sort((a, b) => a - b);
      expect(parts.every((u, i) => u > i / batch - 1e-9 && u < (i + 1) / batch + 1e-9)).toBe(true);
    },
  );
});

describe('the feeds of an update', () => {
  test('mask at the rate of the time, and weigh the true letter of what is masked by 1/t', () => {
    const rng = new Rng(4);
    const rows = Array.from({ length: 64 }, () => ({
      letters: Uint8Array.from({ length: 200 }, () => rng.int(4)),
      label: 1,
    }));
    const feeds = maskedFeeds(rows, new Array<number>(64).fill(0.25), new Rng(5));
    const ids = Array.from(feeds.input_ids!.data as BigInt64Array, Number);
    const target = feeds.target!.data as Float32Array;
    const expected = new Float32Array(target.length);
    const kept: number[] = [];
    for (const [at, id] of ids.entries()) {
      const letter = rows[Math.floor(at / 200)]!.letters[at % 200]!;
      if (id === MASK_ID) expected[4 * at + letter] = 4;
      else kept.push(id - letter);
    }
    expect(target).toEqual(expected);
    expect(kept.filter((difference) => difference !== 0)).toEqual([]);
    // 12,800 positions: the share has a standard deviation of 0.004.
    const share = ids.filter((id) => id === MASK_ID).length / ids.length;
    expect(Math.abs(share - 0.25 * (1 - EPS))).toBeLessThan(0.016);
  });

  test('depend on seed and step alone, and no enhancer comes twice', () => {
    const options = { batch: 3, seed: 7, dropout: 0.5 };
    const again = enhancerBatches(options);
    const [first, second] = [again(0), again(1)];
    expect(enhancerBatches(options)(1)).toEqual(second);
    expect(second).not.toEqual(first);
    expect(enhancerBatches({ ...options, seed: 8 })(1)).not.toEqual(second);
    const labels = Array.from({ length: 40 }, (_, i) => again(i).class_labels!.data as BigInt64Array);
    expect(new Set(labels.flatMap((l) => Array.from(l, Number)))).toEqual(new Set([0, 1, 2, NULL_CLASS]));
  });
});

describe('the loss', () => {
  test('is Σ −log softmax / t over masked positions, by the number of all positions, from the logits of the network', async () => {
    const config = { ...TINY, length: 6 };
    const model = shaken(buildDenoiser(config, 3), 9);
    const feeds = {
      input_ids: i64([2, 6], [4, 0, 4, 1, 2, 4, 3, 3, 3, 4, 0, 0]),
      timestep: f32([2], [0.5, 0.2]),
      class_labels: i64([2], [2, 3]),
    };
    const letters = [
      [0, 0, 2, 1, 2, 3],
      [3, 3, 3, 1, 0, 0],
    ];
    const session = await createSession(encodeModel(model), { threads: 1 });
    const logits = (await session.run(feeds)).logits!.data as Float32Array;
    await session.release();
    const target = new Float32Array(48);
    let expected = 0;
    for (const [row, position, time] of [
      [0, 0, 0.5],
      [0, 2, 0.5],
      [0, 5, 0.5],
      [1, 3, 0.2],
    ] as const) {
      const at = (row * 6 + position) * 4;
      const letter = letters[row]![position]!;
      target[at + letter] = 1 / time;
      const sum = [0, 1, 2, 3].reduce((s, k) => s + Math.exp(logits[at + k]!), 0);
      expected += (Math.log(sum) - logits[at + letter]!) / time / 12;
    }
    expect(new Set(logits).size).toBeGreaterThan(20);
    expect(await lossOf(model, 6, { ...feeds, target: f32([2, 6, 4], target) })).toBeCloseTo(expected, 5);
  });

  test('of a network that knows nothing is ln 4 times the mean weight', async () => {
    const feeds = enhancerBatches({ batch: 4, seed: 1, dropout: 0.1 })(0);
    const weight = (feeds.target!.data as Float32Array).reduce((a, b) => a + b, 0) / 800;
    expect(await lossOf(buildDenoiser(TINY, 1), 200, feeds)).toBeCloseTo(weight * Math.log(4), 4);
  });

  test('goes down along its gradient', async () => {
    const model = shaken(buildDenoiser(TINY, 1), 2);
    const feeds = enhancerBatches({ batch: 4, seed: 1, dropout: 0.1 })(0);
    const graph = buildDenoiserTrainingGraph(model, 4, 200, { kind: 'flat' });
    const session = await createSession(encodeModel(graph.model), { threads: 1 });
    const weights = weightsOf(model, graph.parameters);
    const before = await session.run({ ...feeds, ...weights });
    let squared = 0;
    const step = 1e-3;
    const moved = Object.fromEntries(
      Object.entries(weights).map(([name, w]) => {
        const g = before[`grad/${name}`]!.data as Float32Array;
        squared += g.reduce((sum, v) => sum + v * v, 0);
        return [
          name,
          f32(
            w.dims,
            w.data.map((v, i) => v - step * g[i]!),
          ),
        ];
      }),
    );
    const after = await session.run({ ...feeds, ...moved }, ['loss']);
    await session.release();
    const fall = (before.loss!.data as Float32Array)[0]! - (after.loss!.data as Float32Array)[0]!;
    // To first order the fall is step·|g|².
    expect(fall / (step * squared)).toBeGreaterThan(0.7);
    expect(fall / (step * squared)).toBeLessThan(1.3);
    expect(graph.parameters.length).toBe(Object.keys(weights).length);
  });
});

test('a tiny network learns how frequent each letter is', async () => {
  const model = buildDenoiser(TINY, 1);
  const batch = 8;
  const graph = buildDenoiserTrainingGraph(model, batch, 200, { kind: 'flat' });
  const state = createTrainerState(new Map(Object.entries(weightsOf(model, graph.parameters))));
  await trainSteps({
    graph,
    state,
    steps: 200,
    batch: enhancerBatches({ batch, seed: 3, dropout: 0.1 }),
    learningRate: (step) => 0.02 * (1 - step / 200),
    adamw: { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0 },
    maxGradientNorm: 1,
    emaDecay: 0.95,
    threads: 1,
    onStep: () => true,
  });
  const data = drawDataset({ count: 500, seed: 99 });
  const shares = [0, 1, 2, 3].map((k) => data.tokens.filter((t) => t === k).length / data.tokens.length);
  const session = await createSession(encodeModel(withWeights(model, state.ema)), { threads: 1 });
  const { logits } = await session.run({
    input_ids: i64([1, 200], new Array<number>(200).fill(MASK_ID)),
    timestep: f32([1], [1]),
    class_labels: i64([1], [NULL_CLASS]),
  });
  await session.release();
  const middle = Array.from((logits!.data as Float32Array).subarray(400, 404));
  const sum = middle.reduce((s, v) => s + Math.exp(v), 0);
  // The letters' shares are 0.31, 0.21, 0.19, 0.29: a network that learnt nothing is off by 0.04 to 0.06.
  for (const [k, share] of shares.entries()) expect(Math.abs(Math.exp(middle[k]!) / sum - share)).toBeLessThan(0.025);
}, 120_000);

describe('the recipe', () => {
  let root = '';
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'enhancer-'));
  });
  afterAll(() => rmSync(root, { recursive: true }));
  const io = (stopAfter = Number.POSITIVE_INFINITY): RecipeIo => {
    const controller = new AbortController();
    return {
      progress: (stage, done) => {
        if (stage.startsWith('training') && done === stopAfter) controller.abort();
      },
      note: () => {},
      signal: controller.signal,
      whenStopped: () => {},
    };
  };
  const set = enhancerDnaSchema.parse({
    steps: 4,
    batch: 2,
    warmup: 1,
    decay: 2,
    checkpointEvery: 3,
    samples: 2,
    reference: 20,
    likelihoods: 1,
  });

  test('stopped and resumed gives the same bytes as in one go, and a folder that opens', async () => {
    const [whole, parts] = [join(root, 'whole'), join(root, 'parts')];
    const options = { resume: false, seed: 1, threads: 1, set };
    const graph = 'denoiser/model.onnx';
    const done = await trainEnhancerDna({ ...options, out: whole }, io(), TINY);
    const stopped = await trainEnhancerDna({ ...options, out: parts }, io(2), TINY);
    expect([done.steps, stopped.steps]).toEqual([4, 2]);
    expect(readFileSync(join(parts, graph))).not.toEqual(readFileSync(join(whole, graph)));
    await trainEnhancerDna({ ...options, out: parts, resume: true }, io(), TINY);
    for (const file of [graph, 'evaluation.json', 'README.md']) {
      expect(readFileSync(join(parts, file))).toEqual(readFileSync(join(whole, file)));
    }
    expect(openSequenceModel(whole)).toMatchObject({
      kind: 'masked',
      alphabet: 'ACGT',
      maskId: 4,
      classes: ['HepG2', 'K562', 'SK-N-SH'],
      nullClass: 3,
      length: [200, 200],
      timeConditioned: true,
    });
    const card = readFileSync(join(whole, 'README.md'), 'utf8');
    expect(card).toContain('northlight train enhancer-dna --out DIR --seed 1 --threads 1 --set steps=4 --set batch=2');
    expect(card).toContain('This is not biology');
  }, 120_000);

  test('asks the oracle that it is given, whose path no card names', async () => {
    const [oracle, out] = [join(root, 'oracle'), join(root, 'with-oracle')];
    const bias = f32([3], Float32Array.from([1.5, 2.5, 3.5]));
    const untrained = buildOracle({ ...ORACLE, width: 8, motif: 3, hidden: 4 }, 1);
    exportOracle(oracle, withWeights(untrained, new Map([['activity.bias', bias]])), 'b');
    const given = { ...set, steps: 1, oracle: join(oracle, 'model.onnx') };
    await trainEnhancerDna({ out, resume: false, seed: 1, threads: 1, set: given }, io(), TINY);
    const { cells } = JSON.parse(readFileSync(join(out, 'evaluation.json'), 'utf8')) as Evaluation;
    expect(cells.map((c) => c.oracle)).toEqual([1.5, 2.5, 3.5]);
    const card = readFileSync(join(out, 'README.md'), 'utf8');
    expect(card).toContain('--set oracle=ORACLE');
    expect(card).not.toContain(root);
  }, 120_000);

  test('is known to `train` by its name', () => {
    expect(recipes['enhancer-dna']).toMatchObject({ name: 'enhancer-dna', schema: enhancerDnaSchema });
  });
});
