import type { Value } from '#models/onnx/builder.ts';
import { DATA_TYPE } from '#models/onnx/data-types.ts';
import { type Attribute, type Dim, int, isExternal, type Model, type Node } from '#models/onnx/ir.ts';
import { createBuilder } from '#models/ops/index.ts';
import { toHalf } from '#models/tensor/half.ts';
import { Rng } from '#models/tensor/rng.ts';
import { type DType, f32, fromNumbers, i64, isFloat, numel, type Tensor } from '#models/tensor/tensor.ts';

/** One input of a tiny denoiser besides sample and timestep: its shape without the batch axis. */
export interface TinyInput {
  readonly name: string;
  readonly dims: readonly number[];
  /** Axes whose size is free; the batch always is. */
  readonly free?: readonly number[];
  readonly dtype?: DType;
  /** As Flux has its position numbers since diffusers 0.31. */
  readonly batched?: false;
}

export interface TinyTimestep {
  readonly dtype?: DType;
  /** One number for all, expanded inside. */
  readonly scalar?: boolean;
  /** One number for all, as a list of one. */
  readonly one?: boolean;
}

export interface TinyDenoiser {
  /** Name and shape without batch: `[C, H, W]` or `[tokens, features]`. */
  readonly sample: string;
  readonly dims: readonly number[];
  readonly outChannels?: number;
  readonly output?: string;
  readonly timestep?: TinyTimestep;
  readonly inputs: readonly TinyInput[];
  /** Sizes of the sample are numbers in the file; `batch` too. */
  readonly baked?: boolean;
  readonly batch?: number;
}

const weight = (seed: string, dims: readonly number[], scale: number) =>
  f32(
    dims,
    new Rng(7)
      .fork('tiny', seed)
      .fillNormal(new Float32Array(numel(dims)))
      .map((v) => v * scale),
  );

/**
 * A denoiser of a few hundred weights whose output depends on every input: a pixelwise (or tokenwise) linear map of the sample
 * plus a linear map of each condition's mean and of the timestep's waves. Sizes are free unless baked.
 */
export function tinyDenoiser(spec: TinyDenoiser): Model {
  const op = createBuilder();
  const tokens = spec.dims.length === 2;
  const channels = tokens ? spec.dims[1]! : spec.dims[0]!;
  const out = spec.outChannels ?? channels;
  const sample = op.input(spec.sample, 'float32', [1, ...spec.dims]);
  const timestep = op.input('timestep', 'float32', [1]);
  // [B, out] → broadcastable to the output.
  const spread = (v: Value) => op.apply('Reshape', [v, op.i64(tokens ? [0, 1, out] : [0, out, 1, 1])]);
  const linear = (name: string, x: Value, width: number, scale: number) =>
    op.matmul(x, op.initializer(`${name}.weight`, weight(name, [x.dims.at(-1)!, width], scale)));
  let y: Value;
  if (tokens) {
    y = linear('proj', sample, out, 0.4 / Math.sqrt(channels));
  } else {
    const w = op.initializer('conv.weight', weight('conv', [out, channels, 1, 1], 0.4 / Math.sqrt(channels)));
    y = op.conv(sample, w, null);
  }
  // Slow and fast waves of the timestep, so that 999 and 0.999 both tell.
  const column = op.apply('Unsqueeze', [timestep, op.i64([1])]);
  const angles = op.mul(column, op.f32([1, 4], [0.002, 0.011, 0.9, 2.3]));
  y = op.add2(y, spread(linear('time_embedding', op.apply('Sin', [angles]), out, 0.1)));
  for (const input of spec.inputs) {
    const batched = input.batched !== false;
    const x = op.input(input.name, 'float32', batched ? [1, ...input.dims] : input.dims);
    const axes = x.dims.map((_, i) => i).slice(batched ? 1 : 0, -1);
    let flat = axes.length > 0 ? op.reduceMean(x, axes, false) : x;
    if (!batched) flat = op.apply('Unsqueeze', [flat, op.i64([0])]);
    // A number per sample has no axis to map along.
    if (flat.dims.length === 1) flat = op.apply('Unsqueeze', [flat, op.i64([1])]);
    y = op.add2(y, spread(op.tanh(linear(input.name, flat, out, 0.3 / Math.sqrt(flat.dims.at(-1)!)))));
  }
  op.output(op.tanh(y), spec.output ?? 'out_sample');
  const batch: Dim = spec.batch ?? 'batch_size';
  const model = op.toModel('tiny-denoiser', (v) => {
    if (v.name === 'timestep') return [spec.timestep?.one ? 1 : (batch as number | string)];
    const input = spec.inputs.find((i) => i.name === v.name);
    if (input) {
      const own = input.dims.map((d, i) => (input.free?.includes(i) ? `${input.name}_${i}` : d));
      return input.batched === false ? own : [batch as number | string, ...own];
    }
    const shape = v.dims.slice(1);
    const named = tokens ? ['image_tokens', shape[1]!] : [shape[0]!, 'height', 'width'];
    return [batch as number | string, ...(spec.baked ? shape : named)];
  });
  let made = spec.timestep?.scalar ? withScalarTimestep(model, spec.sample) : model;
  const dtypes = new Map<string, DType>(spec.inputs.map((i) => [i.name, i.dtype ?? 'float32']));
  dtypes.set('timestep', spec.timestep?.dtype ?? 'float32');
  made = withPorts(made, dtypes);
  return made;
}

export interface TinyTextEncoder {
  readonly tokens: number;
  readonly width: number;
  readonly vocabulary: number;
  readonly ids?: DType;
  readonly outputs: readonly ('last_hidden_state' | 'pooler_output' | 'text_embeds' | 'hidden_states')[];
  readonly projection?: number;
  readonly attentionMask?: boolean;
  /** The number of tokens is free. */
  readonly free?: boolean;
  readonly seed?: string;
  /** Default 2. */
  readonly layers?: number;
}

/** A text encoder: embeddings with places, mixing layers, and the outputs asked for. */
export function tinyTextEncoder(spec: TinyTextEncoder): Model {
  const op = createBuilder();
  const { width: d, seed = 'text' } = spec;
  const ids = op.input('input_ids', spec.ids ?? 'int64', [1, spec.tokens]);
  const w = (name: string, dims: readonly number[], scale: number) =>
    op.initializer(`${name}.weight`, weight(`${seed}.${name}`, dims, scale));
  const states = [op.gather(w('embeddings', [spec.vocabulary, d], 1), ids, 0)];
  for (let i = 0; i < (spec.layers ?? 2); i++) {
    const x = states.at(-1)!;
    const mixed = op.reduceMean(x, [1], true);
    states.push(op.tanh(op.mul(op.add2(x, mixed), w(`layers.${i}`, [d], 1))));
  }
  let last = op.mulScalar(states.at(-1)!, 1.5);
  if (spec.attentionMask) {
    const mask = op.cast(op.input('attention_mask', 'int64', [1, spec.tokens]), 'float32');
    last = op.mul(last, op.apply('Unsqueeze', [mask, op.i64([2])]));
  }
  const pooled = op.reduceMean(last, [1], false);
  for (const name of spec.outputs) {
    if (name === 'last_hidden_state') op.output(last, name);
    else if (name === 'pooler_output') op.output(pooled, name);
    else if (name === 'text_embeds')
      op.output(op.matmul(pooled, w('projection', [d, spec.projection ?? d], 0.5)), name);
    else for (const [i, s] of states.entries()) op.output(s, `hidden_states.${i}`);
  }
  return op.toModel('tiny-text-encoder', (v) => {
    const rest = v.dims.slice(1);
    if (spec.free && v.dims.length > 1 && v.dims[1] === spec.tokens)
      return ['batch_size', 'sequence', ...rest.slice(1)];
    return ['batch_size', ...rest];
  });
}

/** Latents `[B, C, h, w]` → pictures `[B, 3, 2h, 2w]` in −1…1. */
export function tinyVaeDecoder(
  channels: number,
  options: { side?: number; baked?: boolean; batch?: number } = {},
): Model {
  const op = createBuilder();
  const side = options.side ?? 8;
  const x = op.input('latent_sample', 'float32', [1, channels, side, side]);
  const w = op.initializer('decoder.conv.weight', weight('decoder', [3, channels, 1, 1], 0.1 / Math.sqrt(channels)));
  const large = op.apply('Resize', [op.tanh(op.conv(x, w, null)), null, op.f32([4], [1, 1, 2, 2])], {
    mode: 'nearest',
    coordinate_transformation_mode: 'asymmetric',
    nearest_mode: 'floor',
  });
  op.output(large, 'sample');
  const batch = options.batch ?? 'batch_size';
  return op.toModel('tiny-vae-decoder', (v) => [
    batch,
    v.dims[1]!,
    ...(options.baked
      ? v.dims.slice(2)
      : v.name === 'sample'
        ? ['height', 'width']
        : ['latent_height', 'latent_width']),
  ]);
}

/** Pictures `[B, 3, 2h, 2w]` → `latent_parameters` `[B, 2C, h, w]` (mean, then log-variance), or `latent_sample` `[B, C, h, w]`. */
export function tinyVaeEncoder(channels: number, kind: 'latent_parameters' | 'latent_sample'): Model {
  const op = createBuilder();
  const out = kind === 'latent_parameters' ? 2 * channels : channels;
  const x = op.input('sample', 'float32', [1, 3, 16, 16]);
  const w = op.initializer('encoder.conv.weight', weight('encoder', [out, 3, 2, 2], 0.3));
  op.output(op.conv(x, w, null, { strides: [2, 2] }), kind);
  return op.toModel('tiny-vae-encoder', (v) => [
    'batch_size',
    v.dims[1]!,
    ...(v.name === 'sample' ? ['height', 'width'] : ['h', 'w']),
  ]);
}

const attributes = (entries: Record<string, Attribute> = {}) => new Map(Object.entries(entries));

const node = (opType: string, inputs: string[], output: string, attrs: Record<string, Attribute> = {}): Node => ({
  opType,
  domain: '',
  name: output,
  inputs,
  outputs: [output],
  attributes: attributes(attrs),
});

/** The timestep as optimum exports it: one number for all, expanded to the batch inside. */
function withScalarTimestep(model: Model, sample: string): Model {
  const { graph } = model;
  const initializers = new Map(graph.initializers).set('axis0', i64([1], [0]));
  const nodes = [
    node('Unsqueeze', ['timestep', 'axis0'], 'timestep/one'),
    node('Shape', [sample], 'timestep/batch', { start: int(0), end: int(1) }),
    node('Expand', ['timestep/one', 'timestep/batch'], 'timestep/rows'),
    ...graph.nodes.map((n) => ({ ...n, inputs: n.inputs.map((i) => (i === 'timestep' ? 'timestep/rows' : i)) })),
  ];
  const inputs = graph.inputs.map((i) => (i.name === 'timestep' ? { ...i, dims: [] } : i));
  return { ...model, graph: { ...graph, nodes, inputs, initializers } };
}

/** The model with some inputs declared in other types, and cast inside. */
export function withPorts(model: Model, dtypes: ReadonlyMap<string, DType>): Model {
  const { graph } = model;
  const changed = graph.inputs.filter((i) => (dtypes.get(i.name) ?? i.dtype) !== i.dtype);
  const inner = new Map(changed.map((i) => [i.name, `${i.name}/as_${i.dtype}`]));
  const nodes = [
    ...changed.map((i) => node('Cast', [i.name], inner.get(i.name)!, { to: int(DATA_TYPE[i.dtype]) })),
    ...graph.nodes.map((n) => ({ ...n, inputs: n.inputs.map((name) => inner.get(name) ?? name) })),
  ];
  const inputs = graph.inputs.map((i) => ({ ...i, dtype: dtypes.get(i.name) ?? i.dtype }));
  return { ...model, graph: { ...graph, nodes, inputs } };
}

/** The model with every float32 weight stored in 16 bits and widened again inside, as slim exports are. */
export function withHalfWeights(model: Model): Model {
  const initializers = new Map(model.graph.initializers);
  const casts: Node[] = [];
  const renamed = new Map<string, string>();
  for (const [name, t] of model.graph.initializers) {
    if (isExternal(t) || t.dtype !== 'float32' || !name.endsWith('.weight')) continue;
    initializers.set(name, toHalf(t, 'float16'));
    renamed.set(name, `${name}/wide`);
    casts.push(node('Cast', [name], `${name}/wide`, { to: int(DATA_TYPE.float32) }));
  }
  const nodes = model.graph.nodes.map((n) => ({ ...n, inputs: n.inputs.map((i) => renamed.get(i) ?? i) }));
  return { ...model, graph: { ...model.graph, nodes: [...casts, ...nodes], initializers } };
}

/** The model with 16-bit weights, and 16-bit inputs and outputs wherever they were float32. */
export function withHalfPorts(model: Model): Model {
  const floats = model.graph.inputs.filter((i) => isFloat(i.dtype)).map((i) => [i.name, 'float16'] as const);
  const made = withPorts(withHalfWeights(model), new Map(floats));
  const nodes = [...made.graph.nodes];
  const outputs = made.graph.outputs.map((o) => {
    const at = nodes.findIndex((n) => n.outputs.includes(o.name));
    const inner = `${o.name}/as_float32`;
    nodes[at] = { ...nodes[at]!, outputs: nodes[at]!.outputs.map((n) => (n === o.name ? inner : n)) };
    for (const [i, n] of nodes.entries()) {
      if (i !== at) nodes[i] = { ...n, inputs: n.inputs.map((name) => (name === o.name ? inner : name)) };
    }
    nodes.push(node('Cast', [inner], o.name, { to: int(DATA_TYPE.float16) }));
    return { ...o, dtype: 'float16' as const };
  });
  return { ...made, graph: { ...made.graph, nodes, outputs } };
}

/** The model with a further input that it reads, and adds times zero to its result. */
export function withInput(model: Model, name: string, dims: readonly Dim[]): Model {
  const zero: Tensor = fromNumbers('float32', [], [0]);
  const [output] = model.graph.outputs;
  const inner = `${output!.name}/plain`;
  const nodes = model.graph.nodes.map((n) => ({
    ...n,
    outputs: n.outputs.map((o) => (o === output!.name ? inner : o)),
  }));
  nodes.push(
    node('ReduceMean', [name], `${name}/mean`, { keepdims: int(0) }),
    node('Mul', [`${name}/mean`, 'zero'], `${name}/zero`),
    node('Add', [inner, `${name}/zero`], output!.name),
  );
  const initializers = new Map(model.graph.initializers).set('zero', zero);
  const inputs = [...model.graph.inputs, { name, dtype: 'float32' as const, dims }];
  return { ...model, graph: { ...model.graph, nodes, inputs, initializers } };
}
