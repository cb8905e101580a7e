import { realpathSync, statSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import { readAt, withFile } from '#models/files.ts';
import { type ExternalTensor, isExternal, type Model } from '#models/onnx/ir.ts';
import { fromBytes, type Tensor } from '#models/tensor/tensor.ts';

/**
 * A weight of the main graph as a tensor, read from the file beside the model when it lives there.
 * @throws NorthlightError `onnx/no-initializer`, `onnx/external-missing`, `onnx/external-short`, `onnx/external-outside`.
 */
export function loadInitializer(model: Model, name: string): Tensor {
  const found = model.graph.initializers.get(name);
  if (found === undefined) {
    throw new NorthlightError('onnx/no-initializer', `The model has no weight called "${name}".`, 'Check the name.');
  }
  return isExternal(found) ? readExternal(found, placeOf(model), name) : found;
}

/** With the weights from files beside it in memory, so that it can become part of a model that lies elsewhere. */
export function inOneFile(model: Model): Model {
  const { graph } = model;
  const initializers = new Map(
    [...graph.initializers].map(([name, init]) => [name, isExternal(init) ? loadInitializer(model, name) : init]),
  );
  return { ...model, graph: { ...graph, initializers } };
}

/** Where a model's external weights may lie. */
export interface Place {
  readonly folder: string;
  /** Folder of the file that the model's own file is a link to: caches keep links side by side to files side by side. */
  readonly linkedFolder?: string;
}

/** Where the external weights of a model that was read may lie; undefined for one made in memory. */
export function placeOf(model: Model): Place | undefined {
  if (model.folder === undefined) return undefined;
  return model.linkedFolder === undefined
    ? { folder: model.folder }
    : { folder: model.folder, linkedFolder: model.linkedFolder };
}

/** The place of a model file. */
export function placeOfFile(path: string): Place {
  const folder = dirname(path);
  const real = dirname(realpathSync(path));
  return real === realpathSync(folder) ? { folder } : { folder, linkedFolder: real };
}

/** The bytes of an external tensor; `name` only appears in errors. */
export function readExternal(tensor: ExternalTensor, place: Place | undefined, name: string): Tensor {
  const { location, offset, length } = tensor.external;
  return withExternal(place, location, name, (fd, size, path) => {
    if (offset + length > size) throw tooShort(name, path, offset + length, size);
    return fromBytes(tensor.dtype, tensor.dims, readAt(fd, offset, length, path));
  });
}

/** Checks that the file of every tensor is there and long enough, opening each file once and reading no weights. */
export function checkExternal(tensors: Iterable<readonly [string, ExternalTensor]>, place: Place | undefined): void {
  const furthest = new Map<string, { name: string; end: number }>();
  for (const [name, { external }] of tensors) {
    const end = external.offset + external.length;
    const seen = furthest.get(external.location);
    if (seen === undefined || end > seen.end) furthest.set(external.location, { name, end });
  }
  for (const [location, { name, end }] of furthest) {
    withExternal(place, location, name, (fd, size, path) => {
      if (end <= size) return;
      if (isLfsPointer(readAt(fd, 0, Math.min(size, 64), path))) throw lfsPointer(path);
      throw tooShort(name, path, end, size);
    });
  }
}

/** Bytes of a file of weights; null when there is none. @throws NorthlightError `onnx/external-outside`. */
export function externalBytes(place: Place, location: string, name: string): number | null {
  checkLocation(location, name);
  const path = join(place.folder, location);
  checkLink(path, location, name, place);
  const found = statSync(path, { throwIfNoEntry: false });
  return found?.isFile() ? found.size : null;
}

/** A location must name a file inside the model's folder: a model that someone sends must not read other files. */
export function checkLocation(location: string, name: string): void {
  const parts = location.split(/[\\/]/);
  const absolute = parts[0] === '' || /^[a-z]:/i.test(location);
  if (absolute || parts.includes('..') || location.includes('\0')) throw outside(location, name);
}

/** Nor may it be a link that leads out of the folder. */
function checkLink(path: string, location: string, name: string, place: Place): void {
  let real: string;
  let allowed: string[];
  try {
    real = realpathSync(path);
    allowed = [realpathSync(place.folder), ...(place.linkedFolder === undefined ? [] : [place.linkedFolder])];
  } catch {
    return; // not there: said when it is opened
  }
  const within = (folder: string) => {
    const way = relative(folder, real);
    return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !/^[a-z]:/i.test(way);
  };
  if (!allowed.some(within)) throw outside(location, name);
}

function outside(location: string, name: string): NorthlightError {
  return new NorthlightError(
    'onnx/external-outside',
    `The weight "${name}" points to "${location}", outside the model's folder.`,
    'Do not use this file unless you trust its maker; export the model again with weights beside it.',
  );
}

export function isLfsPointer(start: Uint8Array): boolean {
  return Buffer.from(start.buffer, start.byteOffset, Math.min(start.length, 40))
    .toString('latin1')
    .startsWith('version https://git-lfs');
}

export function lfsPointer(path: string): NorthlightError {
  return new NorthlightError(
    'onnx/lfs-pointer',
    `${path} is not the file itself but a small Git LFS placeholder for it.`,
    'Fetch the real file, for example with "git lfs pull", or download it again.',
  );
}

function withExternal<T>(
  place: Place | undefined,
  location: string,
  name: string,
  use: (fd: number, sizeBytes: number, path: string) => T,
): T {
  checkLocation(location, name);
  if (place === undefined) {
    throw new NorthlightError(
      'onnx/external-missing',
      `The weight "${name}" is in the file "${location}", but the model was not read from a folder.`,
      'Open the model from its own file.',
    );
  }
  const path = join(place.folder, location);
  checkLink(path, location, name, place);
  try {
    return withFile(path, (fd, size) => use(fd, size, path));
  } catch (error) {
    if (!(error instanceof NorthlightError) || !error.code.startsWith('file/')) throw error;
    throw new NorthlightError(
      'onnx/external-missing',
      `The weight "${name}" is in ${path}, which cannot be read. ${error.message}`,
      'Copy all files of the model into one folder.',
      { cause: error },
    );
  }
}

function tooShort(name: string, path: string, needed: number, size: number): NorthlightError {
  return new NorthlightError(
    'onnx/external-short',
    `${path} has ${size} bytes, but the weight "${name}" ends at byte ${needed}.`,
    'The file was cut short or belongs to another model: copy it again.',
  );
}
