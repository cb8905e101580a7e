import { describe, expect, test } from 'vitest';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { createBuilder } from '#models/ops/index.ts';
import { f32 } from '#models/tensor/tensor.ts';
import { estimateRun, type MachineRates, runtimeOrder } from '#models/training/estimate.ts';
import { planTraining } from '#models/training/plan.ts';
import { lossGraph, type MemoryMode } from '#models/training/training-graph.ts';

const RATES: MachineRates = {
  productFlops: 1e11,
  convFlops: 1e11,
  memoryBytes: 1e10,
  cacheBytes: 5e10,
  softmaxElements: 1e9,
  nodeSeconds: 5e-6,
};
const [ROWS, WIDTH] = [1024, 256];
const VALUE = ROWS * WIDTH * 4;

const chain = (x: Value, layers: number, body: (v: Value, i: number) => Value): Value => {
  let v = x;
  for (let i = 0; i < layers; i++) v = body(v, i);
  return v;
};

/** Layers of tanh(x·W), the first one trained: all activations are needed, and one gradient comes out. */
function deep(layers: number, memory: MemoryMode) {
  const op = createBuilder();
  const weights: Value[] = [];
  const y = chain(op.input('x', 'float32', [ROWS, WIDTH]), layers, (v, i) => {
    const w = op.input(`w${i}`, 'float32', [WIDTH, WIDTH]);
    weights.push(w);
    return op.tanh(op.matmul(v, w));
  });
  return lossGraph(op, op.reduceMeanAll(op.mul(y, y)), weights.slice(0, 1), { name: 'deep', memory });
}

describe('memory of a run', () => {
  const peak = (op: GraphBuilder) => estimateRun(op.toModel('m'), op.values, RATES).activationBytes;

  test('a chain holds one value where the runtime writes over it, two where it cannot', () => {
    const inPlace = createBuilder();
    inPlace.output(chain(inPlace.input('x', 'float32', [ROWS, WIDTH]), 9, (v) => inPlace.tanh(v)));
    expect(peak(inPlace)).toBe(VALUE);
    const apart = createBuilder();
    apart.output(chain(apart.input('x', 'float32', [ROWS, WIDTH]), 9, (v) => apart.transpose(v, [1, 0])));
    expect(peak(apart)).toBe(2 * VALUE);
  });

  test('a view takes nothing and keeps its source alive', () => {
    const op = createBuilder();
    const a = op.exp(op.input('x', 'float32', [ROWS, WIDTH]));
    op.output(op.reshape(a, [WIDTH * ROWS]));
    op.output(op.transpose(op.transpose(a, [1, 0]), [1, 0]));
    expect(peak(op)).toBe(3 * VALUE);
  });

  test('training keeps one value per layer; eight segments keep a fraction', () => {
    const of = (memory: MemoryMode) => {
      const g = deep(64, memory);
      return estimateRun(g.model, g.types, RATES).activationBytes;
    };
    const flat = of({ kind: 'flat' });
    expect(flat / VALUE).toBeGreaterThan(50);
    expect(of({ kind: 'checkpoint', segments: 8, keepAbove: Number.POSITIVE_INFINITY }) / flat).toBeLessThan(0.6);
  });

  test('weights beside the model are counted and not among its own', () => {
    const op = createBuilder();
    const external = { location: 'w', offset: 0, length: 4 * WIDTH };
    const w = op.initializer('w', { dtype: 'float32', dims: [WIDTH], external });
    const own = op.initializer('v', f32([WIDTH], new Float32Array(WIDTH)));
    op.output(op.add2(op.add2(op.input('x', 'float32', [WIDTH]), w), own));
    const estimate = estimateRun(op.toModel('m'), op.values, RATES);
    expect([estimate.weightBytes, estimate.inlineBytes]).toEqual([8 * WIDTH, 4 * WIDTH]);
  });
});

test('nodes run as the runtime orders them: later ones of the file first, each after what it reads', () => {
  const op = createBuilder();
  const x = op.input('x', 'float32', [2]);
  const early = op.apply('Exp', [x], {}, 'early');
  const late = op.apply('Tanh', [x], {}, 'late');
  op.output(op.apply('Add', [early, late], {}, 'sum'));
  expect(runtimeOrder(op.toModel('m').graph).map((n) => n.name)).toEqual(['late', 'early', 'sum']);
});

test('time grows with what is computed again', () => {
  const seconds = (memory: MemoryMode) => {
    const g = deep(32, memory);
    return estimateRun(g.model, g.types, RATES).seconds;
  };
  const flat = seconds({ kind: 'flat' });
  const again = seconds({ kind: 'checkpoint', segments: 8, keepAbove: Number.POSITIVE_INFINITY });
  expect(again / flat).toBeGreaterThan(1.1);
  expect(again / flat).toBeLessThan(1.6); // one more forward pass to two
});

describe('a plan', () => {
  const plan = (budgetBytes: number) => planTraining(({ memory }) => deep(100, memory), { rates: RATES, budgetBytes });

  test('keeps everything where there is room', () => {
    expect(plan(8e9).form.memory).toEqual({ kind: 'flat' });
  });

  test('computes again where that is what fits', () => {
    const room = plan(8e9).peakBytes;
    const tight = plan(room - 3e7);
    expect(tight.form.memory.kind).toBe('checkpoint');
    expect(tight.peakBytes).toBeLessThanOrEqual(room - 3e7);
  });

  test('that does not exist is refused with what to do', () => {
    expect(() => plan(1.71e8)).toThrow(expect.objectContaining({ code: 'train/does-not-fit' }));
    expect(() => plan(1.71e8)).toThrow(/GB may be used/);
  });
});
