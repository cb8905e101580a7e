import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import { fileError, type StagedFile, stageFile } from '#models/files.ts';
import { encodeSafetensors } from '#models/tensor/safetensors.ts';
import type { Tensor, TypedArrays } from '#models/tensor/tensor.ts';
import { type LoraBase, loraBase } from '#models/training/lora-base.ts';
import type { LoraAdapter, LoraModule, LoraOutput } from './adapter.ts';
import { diffusersFiles } from './diffusers.ts';
import { kohyaFiles } from './kohya.ts';
import { peftFiles } from './peft.ts';

export type LoraFormat = 'kohya' | 'diffusers' | 'peft';

export interface WriteLoraOptions {
  /** Default: kohya, which every other program reads. */
  readonly format?: LoraFormat;
  /** Names of UNet blocks in kohya files; default: the original code's for SDXL, as kohya's scripts, else diffusers'. */
  readonly naming?: 'original' | 'diffusers';
  /** Default: what names, sizes and header tell. */
  readonly base?: LoraBase;
}

/**
 * Writes an adapter, whole or not at all; equal adapters give equal bytes. kohya and diffusers make one file; a `path` of
 * diffusers' without `.safetensors` is a folder to hold `pytorch_lora_weights.safetensors`. PEFT makes a folder, with a folder
 * in it for each network where there are several. Returns the files written.
 * @throws {NorthlightError} `lora/not-finite`, `lora/key-collision`, `lora/empty`, and the `file/…` errors of writing.
 */
export function writeLora(path: string, adapter: LoraAdapter, options: WriteLoraOptions = {}): string[] {
  if (adapter.modules.length === 0) {
    throw new NorthlightError(
      'lora/empty',
      `Nothing was written to ${path}: the adapter has no modules.`,
      'Choose targets.',
    );
  }
  for (const { module, down, up } of adapter.modules) {
    if (isFiniteTensor(down) && isFiniteTensor(up)) continue;
    throw new NorthlightError(
      'lora/not-finite',
      `"${module}" holds a value that is not a number; nothing was written to ${path}.`,
      'Go back to the last good checkpoint and use a smaller learning rate.',
    );
  }
  const base = options.base ?? loraBase(adapter.modules, adapter.metadata);
  const outputs = filesOf(path, { ...adapter, modules: adapter.modules.toSorted(byName) }, base, options);
  const staged: StagedFile[] = [];
  try {
    for (const { name, content } of outputs) {
      const target = name === '' ? path : join(path, name);
      if (name !== '') makeFolder(join(target, '..'));
      const bytes =
        typeof content === 'string'
          ? Buffer.from(content, 'utf8')
          : encodeSafetensors(content.tensors, content.metadata);
      staged.push(stageFile(target, (write) => write(bytes)));
    }
    for (let file = staged.shift(); file !== undefined; file = staged.shift()) file.commit();
  } catch (error) {
    for (const file of staged) file.discard();
    throw error;
  }
  return outputs.map(({ name }) => (name === '' ? path : join(path, name)));
}

function filesOf(path: string, adapter: LoraAdapter, base: LoraBase, options: WriteLoraOptions): LoraOutput[] {
  const format = options.format ?? 'kohya';
  if (format === 'kohya')
    return kohyaFiles(path, adapter, base, options.naming ?? (base === 'sdxl' ? 'original' : 'diffusers'));
  if (format === 'diffusers') return diffusersFiles(adapter, base, path.endsWith('.safetensors'));
  return peftFiles(adapter, base);
}

/** Modules in one order, whatever the order they were found in. */
function byName(a: LoraModule, b: LoraModule): number {
  const [x, y] = [a, b].map((m) => `${m.component ?? 'denoiser'} ${m.module}`) as [string, string];
  return x < y ? -1 : x > y ? 1 : 0;
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    if (existsSync(path)) {
      throw new NorthlightError(
        'lora/not-folder',
        `${path} is a file, but a folder is to be written.`,
        'Name a folder.',
      );
    }
    throw fileError(error, path, 'write');
  }
}

function isFiniteTensor(t: Tensor): boolean {
  if (t.dtype === 'float16' || t.dtype === 'bfloat16') {
    // All bits of the exponent set: infinite or not a number.
    const mask = t.dtype === 'float16' ? 0x7c00 : 0x7f80;
    return (t.data as Uint16Array).every((bits) => (bits & mask) !== mask);
  }
  if (t.dtype !== 'float32' && t.dtype !== 'float64') return true;
  return (t.data as TypedArrays['float32']).every(Number.isFinite);
}
