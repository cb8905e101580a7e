import { NorthlightError } from '#models/errors.ts';
import type { Value } from '#models/onnx/builder.ts';
import { type Graph, int, type Node } from '#models/onnx/ir.ts';
import { NodeAttributes, normalizeAxis } from '#models/ops/define.ts';
import { allocate, fromNumbers, i64, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import {
  type Bound,
  graphAttribute,
  type Inliner,
  inlineGraph,
  inputsOf,
  isSequence,
  type Scope,
  type Sequence,
  tensorOf,
} from './import-scope.ts';
import { knownCondition } from './inline-branch.ts';

/** Longest loop that is unrolled. */
const MAX_ITERATIONS = 4096;

/**
 * `Loop` with a trip count known while importing, as that many copies of its body.
 * @throws {NorthlightError} `graph/run-time-loop` when the number of iterations depends on data, `graph/too-long`.
 */
export function unrollLoop(to: Inliner, scope: Scope, node: Node): Bound[] {
  const body = graphAttribute(node, 'body');
  const [count, condition, ...initial] = inputsOf(scope, node);
  const what = `Loop "${node.name}"`;
  const trips = count ? knownCount(to, tensorOf(count, what), node) : Number.POSITIVE_INFINITY;
  let going = condition ? goesOn(to, tensorOf(condition, what), node) : true;
  let state = initial.map((b) => b!);
  const scanned: Value[][] = body.outputs.slice(1 + state.length).map(() => []);
  for (let i = 0; i < trips && going; i++) {
    if (i >= MAX_ITERATIONS) throw tooManyIterations(node, trips);
    to.spend(node);
    const inputs: Bound[] = [to.op.constant(i64([], [i])), to.op.constant(fromNumbers('bool', [], [1])), ...state];
    const [next, ...results] = copy(to, body, inputs, scope, node, i);
    state = results.slice(0, state.length);
    results.slice(state.length).forEach((b, k) => {
      scanned[k]!.push(tensorOf(b, what));
    });
    // The last iteration need not say whether another would follow.
    if (i + 1 < trips) going = goesOn(to, tensorOf(next!, what), node);
  }
  return [
    ...state,
    ...scanned.map((parts, k) => stack(to, parts, 0, scope, node, body.outputs[1 + state.length + k]!)),
  ];
}

/**
 * `Scan` (opset 9 and up) as one copy of its body per slice.
 * @throws {NorthlightError} `graph/too-long`, `onnx/opset` for the batched Scan of opset 8.
 */
export function unrollScan(to: Inliner, scope: Scope, node: Node): Bound[] {
  if ((scope.opsets.get('') ?? 9) < 9) {
    throw new NorthlightError(
      'onnx/opset',
      `Scan "${node.name}" is of opset 8, which loops over every sample of a batch.`,
      'Export the model again with opset 9 or newer.',
    );
  }
  const attrs = new NodeAttributes(node);
  const body = graphAttribute(node, 'body');
  const what = `Scan "${node.name}"`;
  const given = inputsOf(scope, node).map((b) => tensorOf(b!, what));
  const n = attrs.int('num_scan_inputs');
  const initial = given.slice(0, given.length - n);
  const over = given.slice(given.length - n);
  const axes = attrs.ints('scan_input_axes', new Array<number>(n).fill(0));
  const backwards = attrs.ints('scan_input_directions', new Array<number>(n).fill(0));
  const slices = over.map((v, k) => {
    const parts = unstack(to, v, normalizeAxis(axes[k]!, v.dims.length), scope, node);
    return backwards[k] === 1 ? parts.reverse() : parts;
  });
  const count = slices[0]?.length ?? 0;
  if (slices.some((s) => s.length !== count)) {
    throw new NorthlightError(
      'onnx/shape',
      `${what} goes over inputs of different lengths.`,
      'Export the model again.',
    );
  }
  let state: Bound[] = initial;
  const outputs = body.outputs.length - initial.length;
  const scanned: Value[][] = Array.from({ length: outputs }, () => []);
  for (let i = 0; i < count; i++) {
    to.spend(node);
    const results = copy(to, body, [...state, ...slices.map((s) => s[i]!)], scope, node, i);
    state = results.slice(0, initial.length);
    results.slice(initial.length).forEach((b, k) => {
      scanned[k]!.push(tensorOf(b, what));
    });
  }
  const outAxes = attrs.ints('scan_output_axes', new Array<number>(outputs).fill(0));
  const outBackwards = attrs.ints('scan_output_directions', new Array<number>(outputs).fill(0));
  const stacked = scanned.map((parts, k) => {
    const rank = (parts[0]?.dims.length ?? 0) + 1;
    const ordered = outBackwards[k] === 1 ? parts.toReversed() : parts;
    return stack(to, ordered, normalizeAxis(outAxes[k]!, rank), scope, node, body.outputs[initial.length + k]!);
  });
  return [...state, ...stacked];
}

/** `SequenceMap` as one copy of its body per element. */
export function unrollSequenceMap(to: Inliner, scope: Scope, node: Node): Bound[] {
  const body = graphAttribute(node, 'body');
  const what = `SequenceMap "${node.name}"`;
  const given = inputsOf(scope, node).map((b) => b!);
  const first = given[0]!;
  if (!isSequence(first)) throw new NorthlightError('onnx/shape', `${what} goes over something that is no sequence.`);
  const results: Value[][] = body.outputs.map(() => []);
  for (let i = 0; i < first.sequence.length; i++) {
    to.spend(node);
    const inputs = given.map((b) => (isSequence(b) ? b.sequence[i]! : b));
    copy(to, body, inputs, scope, node, i).forEach((b, k) => {
      results[k]!.push(tensorOf(b, what));
    });
  }
  return results.map((sequence): Sequence => ({ sequence }));
}

function copy(to: Inliner, body: Graph, inputs: readonly Bound[], scope: Scope, node: Node, i: number): Bound[] {
  const prefix = `${scope.prefix}${node.name || node.opType}/`;
  return inlineGraph(to, body, inputs, scope, `${prefix}${i}/`, prefix);
}

function knownCount(to: Inliner, value: Value, node: Node): number {
  const t = to.op.constantOf(value.name);
  if (t?.data.length !== 1) throw runTimeLoop(node, value);
  const n = Math.max(0, toNumbers(t)[0]!);
  // The largest integer is how exporters write "until the condition fails".
  return n >= 2 ** 62 ? Number.POSITIVE_INFINITY : n;
}

function goesOn(to: Inliner, value: Value, node: Node): boolean {
  const known = knownCondition(to, value);
  if (known === null) throw runTimeLoop(node, value);
  return known;
}

function runTimeLoop(node: Node, value: Value): NorthlightError {
  return new NorthlightError(
    'graph/run-time-loop',
    `How often Loop "${node.name}" runs depends on "${value.name}", which is only known at run time.`,
    'Give every graph input a fixed size; a loop whose length depends on data cannot be differentiated.',
  );
}

function tooManyIterations(node: Node, trips: number): NorthlightError {
  const count = Number.isFinite(trips) ? `${trips} times` : 'without end';
  return new NorthlightError(
    'graph/too-long',
    `Loop "${node.name}" runs ${count}; at most ${MAX_ITERATIONS} iterations are written out.`,
    'Export the model with fewer iterations, or with the loop written as tensor operations.',
  );
}

/** The parts along one axis, without that axis. */
export function unstack(to: Inliner, v: Value, axis: number, scope: Scope, node: Node): Value[] {
  const n = v.dims[axis]!;
  if (n > MAX_ITERATIONS) throw tooManyIterations(node, n);
  const name = `${scope.prefix}${node.name || node.opType}/slice`;
  if (n === 0) return [];
  const sizes = to.op.i64(new Array<number>(n).fill(1));
  const parts = n === 1 ? [v] : to.apply('Split', [v, sizes], { axis: int(axis) }, n, name);
  return parts.map((p) => to.apply('Squeeze', [p, to.op.i64([axis])], {}, 1, name)[0]!);
}

/** Equal tensors along a new axis. `declared` gives the sizes when there are none. */
export function stack(
  to: Inliner,
  parts: readonly Value[],
  axis: number,
  scope: Scope,
  node: Node,
  declared: { readonly dtype: Tensor['dtype']; readonly dims: readonly (number | string | null)[] | null },
): Value {
  const name = `${scope.prefix}${node.name || node.opType}/stack`;
  if (parts.length === 0) {
    const dims = declared.dims;
    if (!dims?.every((d): d is number => typeof d === 'number')) {
      throw new NorthlightError(
        'graph/empty-loop',
        `${node.opType} "${node.name}" runs zero times and does not say what sizes its results would have.`,
        'Export the model with fixed sizes.',
      );
    }
    const all = [...dims.slice(0, axis), 0, ...dims.slice(axis)];
    return to.op.constant({ dtype: declared.dtype, dims: all, data: allocate(declared.dtype, 0) });
  }
  const wide = parts.map((p) => to.apply('Unsqueeze', [p, to.op.i64([axis])], {}, 1, name)[0]!);
  return wide.length === 1 ? wide[0]! : to.apply('Concat', wide, { axis: int(axis) }, 1, name)[0]!;
}
