import { describe, expect, test } from 'vitest';
import { addGradients } from '#models/autodiff/grad.ts';
import { createBuilder } from '#models/ops/index.ts';
import { Rng } from '#models/tensor/rng.ts';
import { encodeSafetensors, parseSafetensors } from '#models/tensor/safetensors.ts';
import { f32, type Tensor } from '#models/tensor/tensor.ts';
import { DYNAMIC_LOSS_SCALE, type LossScaling, lossScaleInput, staticLossScale } from '#models/training/loss-scale.ts';
import {
  createTrainerState,
  restoreState,
  stateTensors,
  type TrainerOptions,
  type TrainerState,
  type TrainingGraph,
  trainSteps,
} from '#models/training/trainer.ts';

const adamw = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.01 };

/** Mean square error of tanh(x·w + b) against y over a batch; in float16 inside where asked, with a loss scale then. */
function regression(batch: number, half: boolean): TrainingGraph {
  const op = createBuilder();
  const x = op.input('x', 'float32', [batch, 3]);
  const y = op.input('y', 'float32', [batch, 2]);
  const w = op.input('w', 'float32', [3, 2]);
  const b = op.input('b', 'float32', [2]);
  const inner = half ? 'float16' : 'float32';
  const [xi, wi, bi] = [x, w, b].map((v) => op.cast(v, inner)) as [typeof x, typeof x, typeof x];
  const out = op.cast(op.tanh(op.add2(op.matmul(xi, wi), bi)), 'float32');
  const difference = op.sub(out, y);
  const loss = op.reduceMeanAll(op.mul(difference, difference));
  op.output(loss, 'loss');
  const cotangent = half ? lossScaleInput(op) : op.scalar(1);
  for (const [name, g] of addGradients(op, [{ value: loss, cotangent }], [w, b])) op.output(g!, `grad/${name}`);
  return { model: op.toModel('regression'), parameters: ['w', 'b'] };
}

const initial = (): Map<string, Tensor<'float32'>> =>
  new Map([
    ['w', f32([3, 2], [0.5, -0.25, 0.125, 0.75, -0.5, 0.25])],
    ['b', f32([2], [0.0625, -0.125])],
  ]);

/** Rows `from` … of the data of a step: parts of a batch are slices of it. */
function rows(step: number, from: number, count: number, size = 1): Record<string, Tensor> {
  const rng = new Rng(5).fork('data', step);
  const x = rng.fork('x').fillNormal(new Float32Array(3 * 16));
  const y = rng.fork('y').fillNormal(new Float32Array(2 * 16));
  return {
    x: f32([count, 3], x.slice(from * 3, (from + count) * 3)),
    y: f32(
      [count, 2],
      y.slice(from * 2, (from + count) * 2).map((v) => v * size),
    ),
  };
}

async function train(
  state: TrainerState,
  options: Pick<TrainerOptions, 'graph' | 'batch' | 'steps'> & Partial<TrainerOptions>,
): Promise<TrainerState> {
  await trainSteps({
    state,
    learningRate: () => 0.05,
    adamw,
    maxGradientNorm: 1,
    emaDecay: 0.9,
    threads: 1,
    onStep: () => true,
    ...options,
  });
  return state;
}

/** Through the bytes of a checkpoint. */
function reloaded(state: TrainerState, scaling?: LossScaling): TrainerState {
  const bytes = encodeSafetensors(stateTensors(state));
  const fresh = createTrainerState(initial(), scaling);
  restoreState(fresh, parseSafetensors(bytes, 'checkpoint').tensors, state.step);
  return fresh;
}

const bytesOf = (state: TrainerState) => Buffer.from(encodeSafetensors(stateTensors(state))).toString('hex');

describe('accumulated gradients', () => {
  test('four parts of four rows make the update of one batch of sixteen', async () => {
    const losses: number[][] = [[], []];
    const report = (k: number) => (r: { loss: number; gradientNorm: number }) => {
      losses[k]!.push(r.loss, r.gradientNorm);
      return true;
    };
    const whole = await train(createTrainerState(initial()), {
      graph: regression(16, false),
      batch: (step) => rows(step, 0, 16),
      steps: 5,
      onStep: report(0),
    });
    const parts = await train(createTrainerState(initial()), {
      graph: regression(4, false),
      batch: (step, part) => rows(step, part * 4, 4),
      accumulate: 4,
      steps: 5,
      onStep: report(1),
    });
    expect(whole.parameters.get('w')!.data[0]).not.toBeCloseTo(0.5, 2);
    for (const name of ['w', 'b']) {
      parts.parameters.get(name)!.data.forEach((v, i) => {
        expect(v).toBeCloseTo(whole.parameters.get(name)!.data[i]!, 5);
      });
    }
    losses[0]!.forEach((v, i) => {
      expect(losses[1]![i]).toBeCloseTo(v, 5);
    });
  });

  test('a run that stops and goes on from its checkpoint ends with the same bytes', async () => {
    // Grows every two updates and overflows on the way, so that scale and count both matter.
    const scaling: LossScaling = { initial: 2 ** 20, growthInterval: 2, backoff: true };
    const common = {
      graph: regression(4, true),
      batch: (step: number, part: number) => rows(step, part * 4, 4),
      accumulate: 3,
      lossScale: scaling,
    };
    const straight = await train(createTrainerState(initial(), scaling), { ...common, steps: 7 });
    for (const stop of [1, 2, 5]) {
      const first = await train(createTrainerState(initial(), scaling), { ...common, steps: stop });
      const second = await train(reloaded(first, scaling), { ...common, steps: 7 });
      expect(bytesOf(second)).toBe(bytesOf(straight));
    }
    expect(straight.lossScale.scale).toBeLessThan(2 ** 20);
  });
});

describe('loss scale', () => {
  test('a gradient below the smallest float16 is lost without a scale and exact with one', async () => {
    // With x = 0 and b = 0 the network gives 0, and the gradient of b is the error itself: −2⁻²⁶, a quarter of 2⁻²⁴.
    const batch = () => ({ x: f32([1, 3], [0, 0, 0]), y: f32([1, 2], [2 ** -26, 2 ** -26]) });
    const norm = async (scaling: LossScaling) => {
      const start = initial().set('b', f32([2], [0, 0]));
      const norms: number[] = [];
      await train(createTrainerState(start, scaling), {
        graph: regression(1, true),
        batch,
        steps: 1,
        lossScale: scaling,
        onStep: (r) => norms.push(r.gradientNorm) > 0,
      });
      return norms[0];
    };
    expect(await norm(staticLossScale(1))).toBe(0);
    expect(await norm(staticLossScale(4096))).toBeCloseTo(Math.SQRT2 * 2 ** -26, 15);
  });

  test('a power of two changes no bit of an update that neither overflows nor underflows', async () => {
    const run = (scaling: LossScaling) =>
      train(createTrainerState(initial(), scaling), {
        graph: regression(8, true),
        batch: (step) => rows(step, 0, 8),
        steps: 3,
        lossScale: scaling,
      });
    const [a, b] = [await run(staticLossScale(64)), await run(staticLossScale(1024))];
    expect([...b.parameters.get('w')!.data]).toEqual([...a.parameters.get('w')!.data]);
    expect([...b.m.get('w')!]).toEqual([...a.m.get('w')!]);
  });

  test('after an overflow the scale is halved and the same data run again, until the update can be made', async () => {
    const seen: number[] = [];
    const scaling: LossScaling = { initial: 2 ** 24, growthInterval: 0, backoff: true };
    const state = await train(createTrainerState(initial(), scaling), {
      graph: regression(8, true),
      batch: (step) => {
        seen.push(step);
        return rows(step, 0, 8);
      },
      steps: 3,
      lossScale: scaling,
    });
    const skipped = Math.log2(2 ** 24 / state.lossScale.scale);
    expect(skipped).toBeGreaterThanOrEqual(2);
    expect(Number.isInteger(skipped)).toBe(true);
    // A step that overflows comes again, and none is left out.
    expect(seen).toHaveLength(3 + skipped);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect([...new Set(seen)]).toEqual([0, 1, 2]);
    expect(seen.filter((s) => s === 0).length).toBeGreaterThan(2);
    expect(state.step).toBe(3);
    // As if the run had begun with the scale it came to.
    const calm = staticLossScale(state.lossScale.scale);
    const other = await train(createTrainerState(initial(), calm), {
      graph: regression(8, true),
      batch: (step) => rows(step, 0, 8),
      steps: 3,
      lossScale: calm,
    });
    expect([...state.parameters.get('w')!.data]).toEqual([...other.parameters.get('w')!.data]);
    expect([...state.ema.get('w')!.data]).toEqual([...other.ema.get('w')!.data]);
  });

  test('an overflow at a static scale ends the run and leaves the weights alone', async () => {
    const scaling = staticLossScale(2 ** 24);
    const state = createTrainerState(initial(), scaling);
    const before = bytesOf(state);
    await expect(
      train(state, { graph: regression(8, true), batch: (step) => rows(step, 0, 8), steps: 3, lossScale: scaling }),
    ).rejects.toMatchObject({ code: 'train/not-finite' });
    expect(bytesOf(state)).toBe(before);
  });

  test('a loss that is not a number ends a run without a scale, with the weights as they were', async () => {
    const state = createTrainerState(initial());
    const before = bytesOf(state);
    await expect(
      train(state, { graph: regression(8, false), batch: (s) => rows(s, 0, 8, Number.NaN), steps: 1 }),
    ).rejects.toMatchObject({ code: 'train/not-finite' });
    expect(bytesOf(state)).toBe(before);
  });

  test('a graph without an input for the scale is refused', async () => {
    const state = createTrainerState(initial(), DYNAMIC_LOSS_SCALE);
    const options = { graph: regression(8, false), batch: (s: number) => rows(s, 0, 8), steps: 1 };
    await expect(train(state, { ...options, lossScale: DYNAMIC_LOSS_SCALE })).rejects.toMatchObject({
      code: 'train/loss-scale',
    });
  });
});
