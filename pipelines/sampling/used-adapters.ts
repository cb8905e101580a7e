import { createHash } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { sha256File } from '#models/files.ts';
import type { NorthlightSettings } from '#pipelines/images/settings/index.ts';
import type { PipelineOptions } from './pipeline.ts';

/** The adapters of a pipeline as a picture names them: by file name and content, never by path. */
export function usedAdapters({ adapters = [], live }: PipelineOptions): NorthlightSettings['adapters'] {
  const files = adapters.map(({ path, weight }) => ({
    name: basename(path).replace(/\.safetensors$/, ''),
    hash: hashAdapter(path),
    weight,
  }));
  if (!live) return files;
  const hash = createHash('sha256');
  for (const [name, { data }] of live.parameters) {
    hash.update(name).update(Float32Array.from(data as ArrayLike<number>));
  }
  return [...files, { name: 'in training', hash: hash.digest('hex'), weight: 1 }];
}

/** SHA-256 of an adapter file; of a folder, as PEFT writes: over its sorted files and theirs. */
export function hashAdapter(path: string): string {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return sha256File(path);
  const hash = createHash('sha256');
  for (const name of readdirSync(path).sort()) {
    const file = join(path, name);
    if (statSync(file).isFile()) hash.update(`${name}\n${sha256File(file)}\n`);
  }
  return hash.digest('hex');
}
