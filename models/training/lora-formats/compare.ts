import { dimsEqual, toBytes } from '#models/tensor/tensor.ts';
import type { LoraAdapter, LoraModule } from './adapter.ts';

/** The first thing that two adapters differ in, in words; undefined when every delta is the same, bit for bit. */
export function firstDifference(a: LoraAdapter, b: LoraAdapter): string | undefined {
  const keyOf = (m: LoraModule) => `${m.component ?? 'denoiser'} ${m.module}`;
  const others = new Map(b.modules.map((m) => [keyOf(m), m]));
  if (a.modules.length !== b.modules.length) return `${a.modules.length} modules against ${b.modules.length}`;
  for (const m of a.modules) {
    const other = others.get(keyOf(m));
    if (!other) return `the second has no module "${keyOf(m)}"`;
    if (m.alpha !== other.alpha) return `"${keyOf(m)}" has alpha ${m.alpha} against ${other.alpha}`;
    for (const half of ['down', 'up'] as const) {
      const [x, y] = [m[half], other[half]];
      const same = x.dtype === y.dtype && dimsEqual(x.dims, y.dims) && Buffer.compare(toBytes(x), toBytes(y)) === 0;
      if (!same) return `the ${half} part of "${keyOf(m)}" differs`;
    }
  }
  return undefined;
}
