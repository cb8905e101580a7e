import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, TypedShape, Value } from '#models/onnx/builder.ts';
import type { Node } from '#models/onnx/ir.ts';
import { fromNumbers, numel, type Tensor, toNumbers } from '#models/tensor/tensor.ts';

/** Typed access to a node's attributes; a wrong kind or a missing required one is a named error. */
export class NodeAttributes {
  private readonly node: Node;
  constructor(node: Node) {
    this.node = node;
  }
  has(name: string): boolean {
    return this.node.attributes.has(name);
  }
  int(name: string, fallback?: number): number {
    return this.get(name, 'int', fallback);
  }
  float(name: string, fallback?: number): number {
    return this.get(name, 'float', fallback);
  }
  str(name: string, fallback?: string): string {
    return this.get(name, 'string', fallback);
  }
  ints(name: string, fallback?: readonly number[]): readonly number[] {
    return this.get(name, 'ints', fallback);
  }
  tensor(name: string): Tensor {
    return this.get<Tensor>(name, 'tensor', undefined);
  }
  private get<T>(name: string, kind: string, fallback: T | undefined): T {
    const a = this.node.attributes.get(name);
    if (a === undefined) {
      if (fallback !== undefined) return fallback;
      throw new NorthlightError(
        'onnx/attribute',
        `${this.node.opType} "${this.node.name}" lacks the attribute "${name}".`,
      );
    }
    if (a.kind !== kind) {
      throw new NorthlightError(
        'onnx/attribute',
        `Attribute "${name}" of ${this.node.opType} "${this.node.name}" is of kind ${a.kind}, not ${kind}.`,
      );
    }
    return a.value as T;
  }
}

export interface InferContext {
  readonly node: Node;
  readonly attrs: NodeAttributes;
  readonly inputs: readonly (Value | undefined)[];
  /** Input `i`, which must be there. */
  readonly x: (i: number) => Value;
  /** The tensor behind input `i` when it is known without running anything. */
  readonly constant: (i: number) => Tensor | undefined;
}

export interface GradContext extends InferContext {
  /** Appends to the graph under construction. */
  readonly op: GraphBuilder;
  readonly outputs: readonly Value[];
  readonly y: Value;
  /** Gradient of the first output; rules of operators with several differentiable outputs use `dys`. */
  readonly dy: Value;
  readonly dys: readonly (Value | null)[];
  /** Whether anyone wants the gradient of input `i`: an expensive rule skips what nobody wants. */
  readonly needs: (i: number) => boolean;
}

/**
 * Gradients of the inputs, `null` where none flows. The engine sums a gradient over broadcast axes, so a rule may return
 * it in the output's shape.
 */
export type GradRule = (context: GradContext) => readonly (Value | null)[];

export interface OpDefinition {
  readonly opType: string;
  /** '' is the standard domain. */
  readonly domain?: string;
  /** First opset whose meaning the rules below have; the importer upgrades older nodes. */
  readonly sinceVersion: number;
  readonly infer: (context: InferContext) => readonly TypedShape[];
  /** A rule; 'none': no gradient flows (integer, boolean or piecewise constant). Absent: a gradient is refused. */
  readonly grad?: GradRule | 'none';
  /** How many outputs the gradient rule reads; missing ones are added to the node before differentiation. */
  readonly gradOutputs?: number;
  /** The same computation in simpler operators, used instead of the node before differentiation. */
  readonly decompose?: (context: InferContext & { readonly op: GraphBuilder }) => readonly Value[];
  /** Value of the outputs when every input is a small known tensor (shape plumbing). */
  readonly fold?: (inputs: readonly (Tensor | undefined)[], attrs: NodeAttributes) => readonly Tensor[];
}

export function defineOp(definition: OpDefinition): OpDefinition {
  return definition;
}

/** Axis in 0 … rank−1. */
export function normalizeAxis(axis: number, rank: number): number {
  const a = axis < 0 ? axis + rank : axis;
  if (a < 0 || a >= Math.max(rank, 1))
    throw new NorthlightError('onnx/axis', `Axis ${axis} is outside a tensor of rank ${rank}.`);
  return a;
}

/** NumPy broadcasting of shapes. @throws {NorthlightError} `onnx/shape` when sizes disagree. */
export function broadcastDims(shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(0, ...shapes.map((s) => s.length));
  const out = new Array<number>(rank).fill(1);
  for (const s of shapes) {
    for (let i = 0; i < s.length; i++) {
      const d = s[i]!;
      const j = rank - s.length + i;
      if (d === out[j] || d === 1) continue;
      if (out[j] !== 1) {
        throw new NorthlightError(
          'onnx/shape',
          `Shapes ${shapes.map((x) => `[${x.join(', ')}]`).join(' and ')} do not broadcast.`,
        );
      }
      out[j] = d;
    }
  }
  return out;
}

/**
 * The elements of a known tensor at every combination of the indices listed per axis; `fill` where an index is NaN.
 * @param from one list of indices per axis; their lengths are the result's shape.
 */
export function pickNumbers(t: Tensor, from: readonly (readonly number[])[], fill = 0): Tensor {
  const dims = from.map((indices) => indices.length);
  const values = toNumbers(t);
  const out = Array.from({ length: numel(dims) }, (_, flat) => {
    let rest = flat;
    let at = 0;
    let step = 1;
    for (let i = dims.length - 1; i >= 0; i--) {
      const index = from[i]![rest % dims[i]!]!;
      if (Number.isNaN(index)) return fill;
      at += index * step;
      rest = Math.floor(rest / dims[i]!);
      step *= t.dims[i]!;
    }
    return values[at]!;
  });
  return fromNumbers(t.dtype, dims, out);
}
