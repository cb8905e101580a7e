import { dtypeOf } from '#models/onnx/data-types.ts';
import type { Model, Node } from '#models/onnx/ir.ts';
import { type DType, dimsEqual, isFloat } from '#models/tensor/tensor.ts';

/** A node as a layer y = W·x + b of a frozen weight. */
export interface Layer {
  readonly kind: 'linear' | 'conv';
  /** The initialiser behind the node's second operand. */
  readonly weight: string;
  /** What the layer computes in; the initialiser may be stored in fewer bits. */
  readonly dtype: DType;
  /** Whether that initialiser has the outputs first, [out, in, …], or [in, out]. */
  readonly transposed: boolean;
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** Empty for a linear layer. */
  readonly kernel: readonly number[];
  /** The initialiser of a convolution is [out, kernel…, in] instead of [out, in, kernel…]. */
  readonly channelsLast?: true;
}

/**
 * Where an adapter joins a node: `output` is added to what it makes; `summand` is one more input, added before an activation
 * inside the node; `activation`: the node is taken apart before its activation; `weight`: the node is no layer alone (attention
 * with its projections), so the adapter is added to the weight itself.
 */
export type Join = 'output' | { readonly summand: number } | 'activation' | 'weight';

export type Producers = ReadonlyMap<string, Node>;

interface LayerKind {
  readonly join: Join;
  readonly read: (model: Model, node: Node, producer: Producers) => Layer | null;
}

/** A node as a layer; null for every other node, and for a use of a layer's operator that is none. */
export function layerAt(model: Model, node: Node, producer: Producers): Layer | null {
  return kindOf(node)?.read(model, node, producer) ?? null;
}

/** How an adapter joins a node that is a layer. */
export const joinOf = (node: Node): Join => kindOf(node)?.join ?? 'output';

/** Whether a node convolves images with channels last. */
export const isNhwc = (node: Node): boolean => node.opType.startsWith('Nhwc');

const kindOf = (node: Node): LayerKind | undefined =>
  LAYERS[node.domain === '' || node.domain === 'ai.onnx' ? node.opType : `${node.domain}:${node.opType}`];

/** x·W, x·Wᵀ; x may be turned, W may not but for the swap of its two axes. */
const product: LayerKind['read'] = (model, node, producer) =>
  attribute(node, 'transBatchB', 0) === 0
    ? linearLayer(model, node, producer, attribute(node, 'transB', 0) !== 0)
    : null;

/** Activations that are a node of their own with the attributes alpha and beta at most. */
const ACTIVATIONS = new Set('Relu Sigmoid Tanh Softplus Softsign LeakyRelu Elu HardSigmoid'.split(' '));

const LAYERS: Readonly<Record<string, LayerKind>> = {
  MatMul: { join: 'output', read: product },
  Gemm: { join: 'output', read: product },
  'com.microsoft:FusedMatMul': { join: 'output', read: product },
  'com.microsoft:TransposeMatMul': { join: 'output', read: product },
  'com.microsoft:FusedGemm': {
    join: { summand: 2 },
    // The adapter is divided by beta, which the summand is multiplied with.
    read: (model, node, producer) => (attribute(node, 'beta', 1) === 0 ? null : product(model, node, producer)),
  },
  'com.microsoft:FusedMatMulActivation': {
    join: 'activation',
    read: (model, node, producer) => {
      const name = node.attributes.get('activation')?.value;
      return typeof name === 'string' && ACTIVATIONS.has(name) ? product(model, node, producer) : null;
    },
  },
  'com.microsoft:GemmFastGelu': { join: 'activation', read: product },
  'com.microsoft:Attention': { join: 'weight', read: product },
  'com.microsoft:MatMulNBits': {
    join: 'output',
    read: (model, node) => {
      const scales = model.graph.initializers.get(node.inputs[2] ?? '');
      const weight = node.inputs[1]!;
      if (!scales || !isFloat(scales.dtype) || !model.graph.initializers.has(weight)) return null;
      const [inFeatures, outFeatures] = [attribute(node, 'K', 0), attribute(node, 'N', 0)];
      return { kind: 'linear', weight, dtype: scales.dtype, transposed: true, inFeatures, outFeatures, kernel: [] };
    },
  },
  Conv: { join: 'output', read: (model, node, producer) => convLayer(model, node, producer, false) },
  'com.microsoft:FusedConv': {
    join: { summand: 3 },
    read: (model, node, producer) => convLayer(model, node, producer, false),
  },
  // Which layout either has by itself: models/ops/contrib/conv.ts.
  'com.microsoft:NhwcConv': { join: 'output', read: (model, node, producer) => convLayer(model, node, producer, true) },
  'com.microsoft:NhwcFusedConv': {
    join: { summand: 3 },
    read: (model, node, producer) => convLayer(model, node, producer, false),
  },
};

function convLayer(model: Model, node: Node, producer: Producers, preferLast: boolean): Layer | null {
  const operand = frozenOperand(model, node, producer);
  if (!operand || operand.flipped || operand.dims.length < 3 || attribute(node, 'group', 1) !== 1) return null;
  const { name: weight, dtype, dims } = operand;
  const channelsLast = isNhwc(node) && kernelIsLast(node, dims, preferLast);
  const [outFeatures, inFeatures, ...kernel] = channelsLast
    ? [dims[0]!, dims.at(-1)!, ...dims.slice(1, -1)]
    : (dims as readonly [number, number, ...number[]]);
  const layer: Layer = { kind: 'conv', weight, dtype, transposed: true, inFeatures, outFeatures, kernel };
  return channelsLast ? { ...layer, channelsLast } : layer;
}

/** Whether a kernel is [out, kernel…, in]: as the node's `kernel_shape` says, or as is usual where both fit. */
function kernelIsLast(node: Node, dims: readonly number[], preferLast: boolean): boolean {
  const shape = node.attributes.get('kernel_shape');
  if (shape?.kind !== 'ints') return preferLast;
  const spatial = (last: boolean) => (last ? dims.slice(1, -1) : dims.slice(2));
  return dimsEqual(spatial(preferLast), shape.value) ? preferLast : !preferLast;
}

function linearLayer(model: Model, node: Node, producer: Producers, transB: boolean): Layer | null {
  const operand = frozenOperand(model, node, producer);
  if (operand?.dims.length !== 2) return null;
  const { name: weight, dtype } = operand;
  const transposed = operand.flipped !== transB;
  const [rows, columns] = operand.dims as readonly [number, number];
  const [inFeatures, outFeatures] = transposed ? [columns, rows] : [rows, columns];
  return { kind: 'linear', weight, dtype, transposed, inFeatures, outFeatures, kernel: [] };
}

/**
 * The initialiser that a node's second operand is, and the floating-point type it is multiplied in; possibly behind
 * Identity, Cast, DequantizeLinear and matrix Transpose.
 */
function frozenOperand(model: Model, node: Node, producer: Producers) {
  let name = node.inputs[1] ?? '';
  let flipped = false;
  let dtype: DType | undefined;
  for (;;) {
    const init = model.graph.initializers.get(name);
    if (init) {
      dtype ??= init.dtype;
      return isFloat(dtype) ? { name, dims: init.dims, dtype, flipped } : null;
    }
    const via = producer.get(name);
    if (via?.opType === 'Transpose') {
      const perm = via.attributes.get('perm');
      if (perm && !(perm.kind === 'ints' && dimsEqual(perm.value, [1, 0]))) return null;
      flipped = !flipped;
    } else if (via?.opType === 'Cast') {
      dtype ??= dtypeOf(attribute(via, 'to', 0));
    } else if (via?.opType === 'DequantizeLinear') {
      dtype ??= model.graph.initializers.get(via.inputs[1] ?? '')?.dtype;
      if (dtype === undefined) return null;
    } else if (via?.opType !== 'Identity') return null;
    name = via.inputs[0]!;
  }
}

/** A number a node is given, or what it is otherwise. */
export function attribute(node: Node, name: string, otherwise: number): number {
  const a = node.attributes.get(name);
  return a?.kind === 'int' || a?.kind === 'float' ? a.value : otherwise;
}
