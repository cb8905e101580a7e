import type { Value } from '#models/onnx/builder.ts';
import { float, str } from '#models/onnx/ir.ts';
import { type Decompose, refuse } from './contrib-op.ts';

/** Gelu(x) = x·Φ(x), exact. */
export const gelu = ({ op }: Decompose, x: Value): Value => op.apply('Gelu', [x]);

/** ½x·(1 + tanh(√(2/π)·(x + 0.044715x³))). */
export const geluTanh = ({ op }: Decompose, x: Value): Value => op.apply('Gelu', [x], { approximate: str('tanh') });

export const silu = ({ op }: Decompose, x: Value): Value => op.mul(x, op.sigmoid(x));

/**
 * The activation that a fused operator names.
 * @param params its parameters in the order of the standard operator's attributes; missing ones take the standard defaults.
 */
export function activate(c: Decompose, name: string, x: Value, params: readonly number[]): Value {
  const { op } = c;
  const with_ = (...names: string[]) =>
    Object.fromEntries(names.flatMap((n, i) => (params[i] === undefined ? [] : [[n, float(params[i])]])));
  switch (name) {
    case '':
      return x;
    case 'Relu':
    case 'Sigmoid':
    case 'Tanh':
    case 'Softplus':
    case 'Softsign':
      return op.apply(name, [x]);
    case 'LeakyRelu':
    case 'Elu':
      return op.apply(name, [x], with_('alpha'));
    case 'HardSigmoid':
      return op.apply(name, [x], with_('alpha', 'beta'));
    case 'Clip':
      return op.apply('Clip', [x, ...params.slice(0, 2).map((v) => op.scalar(v, x.dtype))]);
    case 'Gelu':
      return gelu(c, x);
    case 'FastGelu':
      return geluTanh(c, x);
    case 'Swish':
    case 'Silu':
    case 'SiLU':
      return silu(c, x);
    default:
      return refuse(
        c,
        `has the attribute activation = "${name}"`,
        'Optimise the model again without fusing activations (level basic).',
      );
  }
}
