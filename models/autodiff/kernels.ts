import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { float, type Graph, int, type Node } from '#models/onnx/ir.ts';

/**
 * What a derived graph may be made of: `standard` ONNX operators only, which every execution provider runs, or also the
 * `com.microsoft` operators for which ONNX Runtime has CPU (and CUDA) kernels.
 */
export type KernelSet = 'standard' | 'ort';

/** `alpha · A' · B'`, where a prime swaps the last two axes; batch axes broadcast. */
export function fusedMatMul(
  op: GraphBuilder,
  a: Value,
  b: Value,
  options: { readonly transA?: boolean; readonly transB?: boolean; readonly alpha?: number } = {},
): Value {
  if (!options.transA && !options.transB && (options.alpha ?? 1) === 1) return op.matmul(a, b);
  return op.applyMany(
    'FusedMatMul',
    [a, b],
    {
      transA: options.transA ? 1 : undefined,
      transB: options.transB ? 1 : undefined,
      alpha: float(options.alpha ?? 1),
    },
    1,
    { domain: 'com.microsoft' },
  )[0]!;
}

/**
 * softmax(scale · Q·Kᵀ)·V for every matrix of a batch, without the matrix of probabilities in memory.
 * q `[N, L, d]`, k `[N, S, d]`, v `[N, S, e]`; writes `[N, L, e]` under the given name. Not appended: the caller places it.
 */
export function multiHeadAttention(name: string, q: Value, k: Value, v: Value, scale: number, output: string): Node {
  return {
    opType: 'MultiHeadAttention',
    domain: 'com.microsoft',
    name,
    inputs: [q.name, k.name, v.name],
    outputs: [output],
    attributes: new Map([
      ['num_heads', int(1)],
      ['scale', float(scale)],
    ]),
  };
}

/**
 * Runs `body` once for each index of the first axis of `inputs`. State goes in and comes out whole, one slice of each scan
 * output is stacked per turn.
 * @returns the final states, then the stacked outputs.
 */
export function scan(op: GraphBuilder, states: readonly Value[], inputs: readonly Value[], body: Graph): Value[] {
  return op.applyMany(
    'Scan',
    [...states, ...inputs],
    { num_scan_inputs: inputs.length, body: { kind: 'graph', value: body } },
    body.outputs.length,
  );
}
