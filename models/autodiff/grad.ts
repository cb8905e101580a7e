import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import type { Node } from '#models/onnx/ir.ts';
import { type GradContext, NodeAttributes } from '#models/ops/define.ts';
import { operatorKey, operatorOf } from '#models/ops/index.ts';
import { isNarrowFloat } from '#models/tensor/narrow.ts';
import { dimsEqual, isFloat } from '#models/tensor/tensor.ts';
import { blockAttention, blockedAttentionGroups } from './blocked-attention.ts';
import { attentionGroups } from './fused-attention.ts';
import { geluGateGroups } from './fused-gelu-gate.ts';
import type { FusedGroups } from './fused-group.ts';
import { mergeAdapters, mergedAdapterGroups } from './fused-lora.ts';
import { siluGroups } from './fused-silu.ts';
import type { KernelSet } from './kernels.ts';
import { understood } from './understood.ts';

/** A value whose cotangent (gradient of the loss with respect to it) is given. */
export interface Seed {
  readonly value: Value;
  readonly cotangent: Value;
}

export interface GradientOptions {
  /** Groups of nodes with a cheaper gradient than their parts (`fused-*.ts`) are differentiated as one. Default: true. */
  readonly fuse?: boolean;
  /** `ort` graphs are faster and smaller and run on the CPU and CUDA providers only. Default: `standard`. */
  readonly kernels?: KernelSet;
}

/**
 * Writes parts of the forward pass in a form that costs less to train, with the same values. {@link addGradients} does so
 * itself; whoever must know the nodes of the forward pass from those of the backward pass does it before.
 */
export function fuseForward(op: GraphBuilder, kernels: KernelSet): void {
  mergeAdapters(op);
  if (kernels === 'ort') blockAttention(op);
}

/**
 * Reverse-mode differentiation: appends the vector–Jacobian product of the graph to the graph itself, in standard ONNX
 * operators unless `kernels` says otherwise. Only nodes on a path between `wrt` and the seeds are visited.
 * @returns for each value of `wrt`, by name, its gradient (same shape and dtype), or null when no path leads to a seed.
 * @throws {NorthlightError} `grad/no-rule` when a node on the path has no gradient rule.
 */
export function addGradients(
  op: GraphBuilder,
  seeds: readonly Seed[],
  wrt: readonly Value[],
  options: GradientOptions = {},
): Map<string, Value | null> {
  const fuse = options.fuse !== false;
  const kernels = options.kernels ?? 'standard';
  if (fuse) fuseForward(op, kernels);
  const nodes = op.nodes.slice();
  const active = reachable(op, nodes, wrt);
  const fused: FusedGroups = fuse
    ? new Map([
        ...siluGroups(op, nodes),
        ...geluGateGroups(op, nodes),
        ...attentionGroups(op, nodes, active),
        ...blockedAttentionGroups(op, nodes),
        ...mergedAdapterGroups(op, nodes, active),
      ])
    : new Map();
  const pending = new Map<string, Value[]>();
  const push = (name: string, g: Value) => {
    const list = pending.get(name);
    if (list) list.push(g);
    else pending.set(name, [g]);
  };
  for (const s of seeds) push(s.value.name, s.cotangent);
  const total = (name: string): Value | null => {
    const list = pending.get(name);
    if (!list) return null;
    const sum = addUp(op, list, `grad/${name}`, kernels);
    pending.set(name, [sum]);
    return sum;
  };

  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i]!;
    if (!node.outputs.some((o) => pending.has(o) && active.has(o))) continue;
    const group = fused.get(node);
    if (group) {
      const dy = total(node.outputs[0]!)!;
      for (const [input, g] of op.scope(`grad/${node.name}`, () => group(op, dy))) {
        if (active.has(input.name)) push(input.name, conform(op, g, input));
      }
      continue;
    }
    const definition = operatorOf(node);
    if (definition.grad === 'none') continue;
    if (!definition.grad) throw noRule(node, nodes, i, new Set(seeds.map((s) => s.value.name)));
    const inputs = node.inputs.map((n) => (n === '' ? undefined : op.value(n)));
    const outputs = node.outputs.map((n) => op.value(n));
    const dys = outputs.map((o) => total(o.name));
    const context: GradContext = {
      op,
      node,
      attrs: new NodeAttributes(node),
      inputs,
      outputs,
      x: (k) => inputs[k]!,
      constant: (k) => (node.inputs[k] ? op.constantOf(node.inputs[k]) : undefined),
      y: outputs[0]!,
      dy: dys[0] ?? op.expand(op.scalar(0, outputs[0]!.dtype), outputs[0]!.dims),
      dys,
      needs: (k) => active.has(node.inputs[k]!),
    };
    const rule = definition.grad;
    const grads = op.scope(`grad/${node.name}`, () => understood(node, () => rule(context)));
    grads.forEach((g, k) => {
      const input = inputs[k];
      if (g && input && active.has(input.name)) push(input.name, conform(op, g, input));
    });
  }
  return new Map(wrt.map((v) => [v.name, total(v.name)]));
}

/** The sum of a value's gradients. WebGPU has no kernel for `Sum`, and each one left to the CPU costs copies both ways. */
function addUp(op: GraphBuilder, list: readonly Value[], name: string, kernels: KernelSet): Value {
  if (list.length > 2 && kernels === 'ort') return op.apply('Sum', list, {}, name);
  // Only the whole sum may have the name: callers make it the name of a graph output.
  return list.reduce((sum, g, i) => op.apply('Add', [sum, g], {}, i === list.length - 1 ? name : `${name}/part`));
}

/**
 * Names of values that depend on `wrt`: floating-point ones, and integers that an operator without a rule made of them
 * (quantised activations), so that a path through those ends in a refusal and not in silence.
 */
function reachable(op: GraphBuilder, nodes: readonly Node[], wrt: readonly Value[]): Set<string> {
  const active = new Set(wrt.map((v) => v.name));
  const isReal = (name: string) => isFloat(op.value(name).dtype) || isNarrowFloat(op.value(name).dtype);
  for (const node of nodes) {
    const from = node.inputs.filter((n) => active.has(n));
    if (from.length === 0) continue;
    const { grad } = operatorOf(node);
    if (grad === 'none') continue;
    const keepsIntegers = !grad || from.some((n) => !isReal(n));
    for (const o of node.outputs) if (o !== '' && (keepsIntegers || isReal(o))) active.add(o);
  }
  return active;
}

/** Sums a gradient over the axes its input was broadcast along, and casts it to the input's dtype. */
function conform(op: GraphBuilder, g: Value, input: Value): Value {
  const typed = op.cast(g, input.dtype);
  if (dimsEqual(typed.dims, input.dims)) return typed;
  const extra = typed.dims.length - input.dims.length;
  const axes = typed.dims.flatMap((d, i) => (i < extra || (input.dims[i - extra] === 1 && d !== 1) ? [i] : []));
  const summed = axes.length > 0 ? op.reduceSum(typed, axes) : typed;
  const shaped = op.reshape(summed, summed.dims.slice(Math.max(extra, 0)));
  return dimsEqual(shaped.dims, input.dims) ? shaped : op.expand(shaped, input.dims);
}

function noRule(node: Node, nodes: readonly Node[], at: number, goals: ReadonlySet<string>): NorthlightError {
  const path: string[] = [];
  let names = new Set(node.outputs);
  for (let i = at + 1; i < nodes.length && ![...names].some((n) => goals.has(n)); i++) {
    const next = nodes[i]!;
    if (!next.inputs.some((n) => names.has(n))) continue;
    path.push(`${next.opType} "${next.name}"`);
    names = new Set(next.outputs);
  }
  const way = path.length > 4 ? [...path.slice(0, 2), '…', ...path.slice(-2)] : path;
  return new NorthlightError(
    'grad/no-rule',
    `No gradient for ${operatorKey(node.domain, node.opType)} at node "${node.name}"${way.length ? `, on the path ${way.join(' → ')} → output` : ''}.`,
    'Freeze the parameters upstream of it, or add a rule in models/ops/.',
  );
}
