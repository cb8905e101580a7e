import { narrowInside } from './exporter.ts';
import { fixed } from './ports.ts';
import type { Component, ComponentRole, GraphSignature } from './types.ts';

const PRECISION: Readonly<Record<string, string>> = {
  float32: 'full precision (float32)',
  float16: 'half precision (float16)',
  bfloat16: 'half precision (bfloat16)',
  float64: 'double precision (float64)',
  none: 'no floating-point weights',
};

/** How a graph's weights are stored: `half precision (float16), inputs in float32`. */
export function precisionInWords(component: Component): string {
  const { signature } = component;
  const base = PRECISION[signature.precision] ?? signature.precision;
  const how = quantized(signature) ? `quantised, the rest in ${signature.precision}` : base;
  return narrowInside(component) ? `${how}, inputs in float32` : how;
}

/** Whether products read weights of 8 or 4 bits. */
export function quantized({ operators }: GraphSignature): boolean {
  return [...operators.keys()].some((o) =>
    /DequantizeLinear|MatMulInteger|ConvInteger|QLinear|MatMulNBits|MatMulBnb4/.test(o),
  );
}

/** Axes of the input that says how large a graph's work is. */
const AXES: Readonly<Record<'spatial' | 'tokens', readonly string[]>> = {
  spatial: ['batch', '', 'height', 'width'],
  tokens: ['batch', 'tokens'],
};

/** What the export fixed: `any size`, or `fixed at batch 1, height 64, width 64`. Sizes are those of the graph, not pixels. */
export function sizesInWords({ role, signature }: Component): string {
  const main = signature.inputs.find((p) => p.dims.length === (isText(role) ? 2 : 4)) ?? signature.inputs[0];
  if (main === undefined) return 'no inputs';
  const axes = main.dims.length === 4 ? AXES.spatial : AXES.tokens;
  const locked = axes.flatMap((axis, i) => {
    const size = fixed(main.dims[i]);
    return axis !== '' && size !== undefined ? [`${axis} ${size}`] : [];
  });
  return locked.length === 0 ? 'any size' : `fixed at ${locked.join(', ')}`;
}

const isText = (role: ComponentRole) => role.startsWith('text_encoder');
