import { type Attribute, int, ints, type Node } from '#models/onnx/ir.ts';
import { attribute, isNhwc, joinOf, type Layer } from './lora-layers.ts';

/** Appends a node and returns its output: `out`, or a new name made of `what`. */
export type Emit = (
  opType: string,
  what: string,
  inputs: readonly string[],
  options?: { readonly attributes?: ReadonlyMap<string, Attribute>; readonly domain?: string; readonly out?: string },
) => string;

/** One node that gets an adapter, and the adapter's two matrices as the node needs them. */
export interface Attached {
  readonly node: Node;
  readonly target: Layer;
  /** Appends what turns the parameter into [in, r], or [r, in, kernel…] of a convolution. */
  readonly down: () => string;
  /** [r, out], or [out, r, 1…]. */
  readonly up: () => string;
  /** A constant of the layer's type. */
  readonly scalar: (value: number) => string;
  readonly emit: Emit;
  /** Appends the node itself, changed. */
  readonly push: (node: Node) => void;
  /** A new name for the node's first output before the adapter is added to it. */
  readonly base: () => string;
}

/** What the product of a node is multiplied with. */
const gain = (node: Node) => attribute(node, 'alpha', 1);

/** Appends a node with the adapter scale·up(down(x)) beside its weight, under the node's own output names. */
export function attach(a: Attached, scale: number): void {
  const { node, emit, push } = a;
  const join = joinOf(node);
  const output = node.outputs[0]!;
  const renamed = (base: string): Node => ({ ...node, outputs: [base, ...node.outputs.slice(1)] });
  if (join === 'output') {
    const base = a.base();
    push(renamed(base));
    emit('Add', 'sum', [base, product(a, scale * gain(node))], { out: output });
  } else if (join === 'weight') {
    const scaled = emit('Mul', 'scaled', [a.down(), a.scalar(scale)]);
    const delta = emit('MatMul', 'delta', [scaled, a.up()]); // [in, out]
    const weight = node.inputs[1]!;
    const turned = a.target.transposed ? emit('Transpose', 'delta_t', [delta], { attributes: PERM_2D }) : delta;
    push({ ...node, inputs: node.inputs.with(1, emit('Add', 'weight', [weight, turned])) });
  } else if (join === 'activation') {
    const base = a.base();
    const { linear, activation } = split(node);
    push({ ...node, ...linear, outputs: [base, ...node.outputs.slice(1)] });
    const sum = emit('Add', 'sum', [base, product(a, scale * gain(node))]);
    const { opType, domain, inputs, attributes } = activation;
    emit(opType, 'activation', [sum, ...inputs], { attributes, domain, out: output });
  } else {
    const at = join.summand;
    const given = node.inputs[at] ?? '';
    const beta = given === '' ? 1 : attribute(node, 'beta', 1);
    const added = product(a, (scale * gain(node)) / beta);
    const inputs = Array.from({ length: Math.max(node.inputs.length, at + 1) }, (_, i) => node.inputs[i] ?? '');
    inputs[at] = given === '' ? added : emit('Add', 'sum', [added, given]);
    const attributes = new Map(node.attributes);
    // A factor for a summand that was missing.
    if (given === '') attributes.delete('beta');
    push({ ...node, inputs, attributes });
  }
}

const PERM_2D: ReadonlyMap<string, Attribute> = new Map([['perm', ints([1, 0])]]);
const WINDOW = ['auto_pad', 'dilations', 'group', 'kernel_shape', 'pads', 'strides'];

/** factor·up(down(x)) in the layout of the node's output. */
function product(a: Attached, factor: number): string {
  const { node, emit } = a;
  let x = node.inputs[0]!;
  const scaled = (down: string) => emit('Mul', 'scaled', [down, a.scalar(factor)]);
  if (a.target.kind === 'linear') {
    return emit('MatMul', 'up', [scaled(downProduct(a)), a.up()]);
  }
  const spatial = a.target.kernel.length;
  const axes = Array.from({ length: spatial }, (_, i) => i);
  const perm = (order: readonly number[]) => ({ attributes: new Map([['perm', ints(order)]]) });
  const last = isNhwc(node);
  if (last) x = emit('Transpose', 'channels_first', [x], perm([0, spatial + 1, ...axes.map((i) => i + 1)]));
  const attributes = new Map([...node.attributes].filter(([name]) => WINDOW.includes(name)));
  const up = emit('Conv', 'up', [scaled(emit('Conv', 'down', [x, a.down()], { attributes })), a.up()]);
  return last ? emit('Transpose', 'channels_last', [up], perm([0, ...axes.map((i) => i + 2), 1])) : up;
}

/** x·down, x turned as the node turns it. */
function downProduct({ node, emit, down }: Attached): string {
  const x = node.inputs[0]!;
  const turned = attribute(node, 'transA', 0) !== 0;
  const standard = node.domain === '' || node.domain === 'ai.onnx';
  if (standard || node.opType === 'FusedGemm') {
    const first = turned ? emit('Transpose', 'turned', [x], { attributes: PERM_2D }) : x;
    return emit('MatMul', 'down', [first, down()]);
  }
  const batchTurned = attribute(node, 'transBatchA', 0) !== 0;
  if (!turned && !batchTurned) return emit('MatMul', 'down', [x, down()]);
  // Only this operator turns a tensor of any rank.
  const attributes = new Map([
    ['transA', int(turned ? 1 : 0)],
    ['transBatchA', int(batchTurned ? 1 : 0)],
  ]);
  return emit('FusedMatMul', 'down', [x, down()], { attributes, domain: 'com.microsoft' });
}

type Piece = Pick<Node, 'opType' | 'domain' | 'inputs'> & { readonly attributes: Map<string, Attribute> };

/** A product with an activation inside, in two nodes; the activation's inputs come after the product. */
function split(node: Node): { linear: Piece; activation: Piece } {
  const domain = 'com.microsoft';
  const inputs = node.inputs.slice(0, 2);
  if (node.opType === 'GemmFastGelu') {
    const linear = { opType: 'MatMul', domain: '', inputs, attributes: new Map() };
    return { linear, activation: { opType: 'FastGelu', domain, inputs: node.inputs.slice(2), attributes: new Map() } };
  }
  const own = [...node.attributes].filter(([name]) => name.startsWith('activation_'));
  const name = node.attributes.get('activation')!.value as string;
  const known = PARAMETERS[name] ?? [];
  return {
    linear: {
      opType: 'FusedMatMul',
      domain,
      inputs,
      attributes: new Map([...node.attributes].filter(([key]) => !key.startsWith('activation'))),
    },
    activation: {
      opType: name,
      domain: '',
      inputs: [],
      attributes: new Map(
        own.map(([key, v]) => [key.slice('activation_'.length), v] as const).filter(([key]) => known.includes(key)),
      ),
    },
  };
}

/** Attributes of the activations that have some. */
const PARAMETERS: Readonly<Record<string, readonly string[]>> = {
  LeakyRelu: ['alpha'],
  Elu: ['alpha'],
  HardSigmoid: ['alpha', 'beta'],
};
