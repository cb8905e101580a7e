import { NorthlightError } from '#models/errors.ts';
import type { Tensor } from '#models/tensor/tensor.ts';
import { f32 } from '#models/tensor/tensor.ts';

export interface AdamWConfig {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Decoupled decay, applied to tensors of rank ≥ 2 only. */
  readonly weightDecay: number;
}

/** Parameters and their two moments; float32 arrays that are updated in place. */
export interface AdamWState {
  step: number;
  readonly parameters: Map<string, Tensor<'float32'>>;
  readonly m: Map<string, Float32Array>;
  readonly v: Map<string, Float32Array>;
}

export function createAdamW(parameters: ReadonlyMap<string, Tensor<'float32'>>): AdamWState {
  const zeros = () => new Map([...parameters].map(([k, t]) => [k, new Float32Array(t.data.length)]));
  return {
    step: 0,
    parameters: new Map([...parameters].map(([k, t]) => [k, f32(t.dims, t.data.slice())])),
    m: zeros(),
    v: zeros(),
  };
}

/**
 * One AdamW update in place (Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2, with bias correction).
 * @param gradients by parameter name, float32; scaled by `gradientScale` (for clipping, accumulation or loss scale) before use.
 * @throws {NorthlightError} `train/no-gradient` when one is missing, `train/gradient-type` when one is not float32.
 */
export function adamwStep(
  state: AdamWState,
  gradients: Readonly<Record<string, Tensor>>,
  learningRate: number,
  config: AdamWConfig,
  gradientScale = 1,
): void {
  state.step += 1;
  const { beta1, beta2, epsilon, weightDecay } = config;
  const correction1 = 1 - beta1 ** state.step;
  const correction2 = Math.sqrt(1 - beta2 ** state.step);
  const rate = learningRate / correction1;
  for (const [name, p] of state.parameters) {
    const gradient = gradients[name];
    if (!gradient) throw new NorthlightError('train/no-gradient', `No gradient came back for the parameter "${name}".`);
    if (gradient.dtype !== 'float32') {
      throw new NorthlightError(
        'train/gradient-type',
        `The gradient of "${name}" came back as ${gradient.dtype}; parameters are updated in float32.`,
        'Make the trained input float32 and cast it inside the graph.',
      );
    }
    const g = gradient.data as Float32Array;
    const m = state.m.get(name)!;
    const v = state.v.get(name)!;
    const w = p.data;
    const keep = p.dims.length >= 2 ? 1 - learningRate * weightDecay : 1;
    for (let i = 0; i < w.length; i++) {
      const gi = g[i]! * gradientScale;
      const mi = beta1 * m[i]! + (1 - beta1) * gi;
      const vi = beta2 * v[i]! + (1 - beta2) * gi * gi;
      m[i] = mi;
      v[i] = vi;
      w[i] = w[i]! * keep - (rate * mi) / (Math.sqrt(vi) / correction2 + epsilon);
    }
  }
}

/** √Σ g² over all tensors, in float64. */
export function globalNorm(gradients: Iterable<Tensor>): number {
  let sum = 0;
  for (const t of gradients) {
    const g = t.data as Float32Array;
    for (let i = 0; i < g.length; i++) sum += g[i]! * g[i]!;
  }
  return Math.sqrt(sum);
}

/** Factor that brings a gradient of norm `norm` to at most `maxNorm`. */
export const clipFactor = (norm: number, maxNorm: number): number => (norm > maxNorm ? maxNorm / norm : 1);
