import type { Tensor } from '#models/tensor/tensor.ts';

/** ema ← decay·ema + (1 − decay)·parameters, in place. The decay is warmed up: min(decay, (1 + step) / (10 + step)). */
export function emaStep(
  ema: ReadonlyMap<string, Tensor<'float32'>>,
  parameters: ReadonlyMap<string, Tensor<'float32'>>,
  step: number,
  decay: number,
): void {
  const d = Math.min(decay, (1 + step) / (10 + step));
  for (const [name, p] of parameters) {
    const e = ema.get(name)!.data;
    const w = p.data;
    for (let i = 0; i < e.length; i++) e[i] = d * e[i]! + (1 - d) * w[i]!;
  }
}
