import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession, type Session } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, type Tensor } from '#models/tensor/tensor.ts';
import { createTrainerState, trainSteps } from '#models/training/trainer.ts';
import { ASSAY_NOISE, type Assay, drawAssay } from '#pipelines/recipes/enhancer-dna/assay.ts';
import { lettersOf } from '#pipelines/recipes/enhancer-dna/batches.ts';
import { drawEnhancer } from '#pipelines/recipes/enhancer-dna/enhancers.ts';
import { askOracle, columnOf, evaluateOracle } from '#pipelines/recipes/enhancer-dna/oracle-evaluate.ts';
import { buildOracle, ORACLE, type OracleConfig } from '#pipelines/recipes/enhancer-dna/oracle-network.ts';
import {
  assayBatches,
  enhancerOracleSchema,
  exportOracle,
  trainEnhancerOracle,
} from '#pipelines/recipes/enhancer-dna/oracle-train.ts';
import { buildOracleTrainingGraph } from '#pipelines/recipes/enhancer-dna/oracle-training-graph.ts';
import { pearson } from '#pipelines/recipes/enhancer-dna/statistics.ts';
import { recipes } from '#pipelines/recipes/index.ts';
import type { RecipeIo } from '#pipelines/recipes/types.ts';
import { withWeights } from '#pipelines/recipes/weights.ts';
import { createOnnxReward } from '#pipelines/rewards/onnx.ts';
import { reverseComplement } from '#pipelines/sequences/nucleotides.ts';

const SMALL: OracleConfig = { ...ORACLE, width: 16, motif: 7, hidden: 8 };

const rowOf = (assay: Assay, i: number) => assay.tokens.slice(200 * i, 200 * i + 200).join('');

describe('the assay', () => {
  const draw = (part: 'a' | 'b' | 'held-out', count: number, half = 50) => drawAssay({ part, count, half, seed: 4 });

  test('has halves and held-out sequences of which none is in another, the same every time', () => {
    const parts = [draw('a', 50), draw('b', 50), draw('held-out', 20)];
    const sequences = parts.flatMap((p) => Array.from({ length: p.count }, (_, i) => rowOf(p, i)));
    expect(new Set(sequences).size).toBe(120);
    expect(draw('b', 50)).toEqual(parts[1]);
    // A longer half holds a shorter one's sequences and measurements.
    expect(draw('a', 60, 60).measured.subarray(0, 150)).toEqual(parts[0]!.measured);
  });

  test('adds the noise that it says: one part shared by the cell lines, one of each', () => {
    const n = 1500;
    const { activities, measured } = draw('a', n, n);
    const [x, y] = [0, 1].map((c) =>
      Array.from({ length: n }, (_, i) => measured[3 * i + c]! - activities[3 * i + c]!),
    ) as [number[], number[]];
    const mean = (v: number[]) => v.reduce((a, b) => a + b, 0) / n;
    const variance = ASSAY_NOISE.construct ** 2 + ASSAY_NOISE.cell ** 2;
    // Of 1500 draws: the mean to ±0.012, variances and covariance to some 4 % of the variance (one standard deviation).
    expect(Math.abs(mean(x))).toBeLessThan(0.05);
    expect(Math.abs(mean(x.map((v) => v * v)) / variance - 1)).toBeLessThan(0.15);
    expect(Math.abs(mean(x.map((v, i) => v * y[i]!)) - ASSAY_NOISE.construct ** 2)).toBeLessThan(0.15 * variance);
  });
});

describe('an oracle', () => {
  test('says the same of a sequence and its reverse complement', async () => {
    const model = buildOracle(SMALL, 1);
    const rng = new Rng(2);
    const weights = new Map<string, Tensor<'float32'>>();
    for (const name of ['activity.weight', 'activity.bias', 'motifs.bias']) {
      const w = model.graph.initializers.get(name) as Tensor<'float32'>;
      weights.set(
        name,
        f32(
          w.dims,
          w.data.map(() => rng.normal()),
        ),
      );
    }
    const session = await createSession(encodeModel(withWeights(model, weights)), { threads: 1 });
    const { sequence } = drawEnhancer(1, 0);
    const both = Uint8Array.from([...lettersOf(sequence), ...lettersOf(reverseComplement(sequence))]);
    const said = await askOracle(session, both, 2);
    await session.release();
    expect(new Set(said.subarray(0, 3)).size).toBe(3);
    for (let c = 0; c < 3; c++) expect(said[3 + c]).toBeCloseTo(said[c]!, 4);
  });

  test('starts with the mean square of what was measured as its loss', async () => {
    const assay = drawAssay({ part: 'a', count: 8, half: 8, seed: 4 });
    const model = buildOracle(SMALL, 1);
    const graph = buildOracleTrainingGraph(model, 4, 200, { kind: 'flat' });
    const feeds = assayBatches(assay, 4, new Rng(3))(0);
    const weights = Object.fromEntries(graph.parameters.map((n) => [n, model.graph.initializers.get(n) as Tensor]));
    const session = await createSession(encodeModel(graph.model), { threads: 1 });
    const { loss } = await session.run({ ...feeds, ...weights }, ['loss']);
    await session.release();
    const target = feeds.target!.data as Float32Array;
    expect((loss!.data as Float32Array)[0]).toBeCloseTo(target.reduce((s, v) => s + v * v, 0) / 12, 4);
  });

  test('fits a small assay: answers correlate above 0.9 with 16 measurements it was trained on', async () => {
    const assay = drawAssay({ part: 'a', count: 16, half: 16, seed: 4 });
    const model = buildOracle(SMALL, 1);
    const graph = buildOracleTrainingGraph(model, 16, 200, { kind: 'flat' });
    const initial = new Map(graph.parameters.map((n) => [n, model.graph.initializers.get(n) as Tensor<'float32'>]));
    const state = createTrainerState(initial);
    await trainSteps({
      graph,
      state,
      steps: 80,
      batch: assayBatches(assay, 16, new Rng(3)),
      learningRate: (step) => 0.01 * Math.min(1, step / 10),
      adamw: { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0 },
      maxGradientNorm: 2,
      emaDecay: 0.8,
      threads: 1,
      onStep: () => true,
    });
    const session = await createSession(encodeModel(withWeights(model, state.ema)), { threads: 1 });
    const said = await askOracle(session, assay.tokens, 16);
    await session.release();
    for (let c = 0; c < 3; c++) expect(pearson(columnOf(said, c), columnOf(assay.measured, c))).toBeGreaterThan(0.9);
  }, 120_000);
});

test('an evaluation of an oracle that says what was measured reaches the ceiling', async () => {
  const assay = drawAssay({ part: 'held-out', count: 40, half: 5, seed: 4 });
  let at = 0;
  const session: Session = {
    inputs: [],
    outputs: [],
    async run({ sequence }) {
      const n = sequence!.dims[0]!;
      at += n;
      return { activity: f32([n, 3], assay.measured.slice(3 * (at - n), 3 * at)) };
    },
    async release() {},
  };
  const { count, cells } = await evaluateOracle(session, assay);
  expect(count).toBe(40);
  for (const c of cells) {
    expect(c.measured).toBeCloseTo(1, 6);
    expect(c.pearson).toBeCloseTo(c.ceiling, 6);
    expect(c.pearson).toBeLessThan(0.999);
  }
});

describe('the recipe', () => {
  let root = '';
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'oracle-'));
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
  const settings = { sequences: 6, heldOut: 5, steps: 4, batch: 2, warmup: 1, decay: 2, checkpointEvery: 3 };
  const set = enhancerOracleSchema.parse(settings);

  test('stopped and resumed gives the same bytes as in one go; the other half gives another oracle', async () => {
    const [whole, parts, other] = [join(root, 'whole'), join(root, 'parts'), join(root, 'other')];
    const options = { resume: false, seed: 1, threads: 1, set };
    const done = await trainEnhancerOracle({ ...options, out: whole }, io());
    const stopped = await trainEnhancerOracle({ ...options, out: parts }, io(2));
    expect([done.steps, stopped.steps]).toEqual([4, 2]);
    expect(readFileSync(join(parts, 'model.onnx'))).not.toEqual(readFileSync(join(whole, 'model.onnx')));
    await trainEnhancerOracle({ ...options, out: parts, resume: true }, io());
    for (const file of ['model.onnx', 'evaluation.json', 'README.md', 'reward.json']) {
      expect(readFileSync(join(parts, file))).toEqual(readFileSync(join(whole, file)));
    }
    await trainEnhancerOracle({ ...options, out: other, set: { ...set, half: 'b' } }, io());
    expect(readFileSync(join(other, 'model.onnx'))).not.toEqual(readFileSync(join(whole, 'model.onnx')));
    const card = readFileSync(join(other, 'README.md'), 'utf8');
    expect(card).toContain('northlight train enhancer-oracle --out DIR --seed 1 --threads 1 --set half=b');
    expect(card).toContain('only for evaluation');
  }, 120_000);

  test('gives what `onnx:` takes as a reward of sequences, HepG2 first', async () => {
    const model = buildOracle(SMALL, 1);
    const bias = f32([3], Float32Array.from([1.5, 2.5, 3.5]));
    exportOracle(join(root, 'reward'), withWeights(model, new Map([['activity.bias', bias]])), 'a');
    const reward = await createOnnxReward(join(root, 'reward', 'model.onnx'));
    const sequences = [0, 1].map((i) => ({ kind: 'sequence' as const, sequence: drawEnhancer(1, i).sequence }));
    const scores = await reward.score(sequences);
    await reward.close?.();
    expect(reward).toMatchObject({ name: 'enhancer-oracle-a', higherIsBetter: true });
    expect(Array.from(scores)).toEqual([1.5, 1.5]);
  });

  test('is known to `train` by its name', () => {
    expect(recipes['enhancer-oracle']).toMatchObject({ name: 'enhancer-oracle', schema: enhancerOracleSchema });
  });
});
