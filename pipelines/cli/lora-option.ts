import { resolve } from 'node:path';
import type { AdapterFile } from '#pipelines/sampling/pipeline.ts';

/** FILE[:WEIGHT] */
export function parseLora(spec: string): AdapterFile {
  const match = /^(.*):(-?\d+(?:\.\d+)?)$/.exec(spec);
  return match ? { path: resolve(match[1]!), weight: Number(match[2]) } : { path: resolve(spec), weight: 1 };
}
