import { realpathSync } from 'node:fs';
import { basename, dirname, join, normalize, resolve } from 'node:path';
import { concatBytes } from '#models/bytes.ts';
import { NorthlightError } from '#models/errors.ts';
import { type StagedFile, stageFile, type Write } from '#models/files.ts';
import { ATTRIBUTE_TYPE, DATA_TYPE } from '#models/onnx/data-types.ts';
import { checkLocation } from '#models/onnx/external.ts';
import {
  type Attribute,
  type ExternalTensor,
  type Graph,
  type Initializer,
  isExternal,
  type LocalFunction,
  type Model,
  type Node,
  type ValueInfo,
} from '#models/onnx/ir.ts';
import { ProtoWriter } from '#models/onnx/proto.ts';
import { allGraphs } from '#models/onnx/traverse.ts';
import { sizeBytes, toBytes } from '#models/tensor/tensor.ts';

export interface WriteOptions {
  /**
   * Puts the weights of the main graph with at least `minBytes` (default 1024) into one file beside the model.
   * `location` is that file's name, relative to the model's folder.
   */
  readonly external?: { readonly location: string; readonly minBytes?: number };
}

/** External weights start at multiples of this, so that a runtime can map them into memory. */
const PAGE_BYTES = 4096;

/** The model as the bytes of a `ModelProto`. Equal models give equal bytes. External weights stay references. */
export function encodeModel(model: Model): Uint8Array {
  return concatBytes(encodeParts(model, model.graph.initializers));
}

/**
 * Writes the model, and with `external` its data file first, each atomically: a failure leaves the old files.
 * Weights that are external already keep their reference, so the model must stay in its folder.
 * @throws NorthlightError `onnx/external-folder` when such a reference would break, `onnx/external-conflict` when the data
 * file would replace one that is still referred to, `onnx/too-large` above 2 GiB, and the `file/…` errors of writing.
 */
export function writeModel(model: Model, path: string, options: WriteOptions = {}): void {
  const kept = keptLocations(model, path);
  const staged: StagedFile[] = [];
  try {
    let initializers: ReadonlyMap<string, Initializer> = model.graph.initializers;
    if (options.external !== undefined) {
      const plan = planExternal(model, options.external.location, options.external.minBytes ?? 1024);
      if (plan.data.length > 0) {
        const { location } = options.external;
        refuseConflict(location, path, kept);
        staged.push(stageFile(join(dirname(path), location), (write) => writeAligned(plan.data, write)));
        initializers = plan.initializers;
      }
    }
    const parts = encodeParts(model, initializers);
    const size = parts.reduce((sum, part) => sum + part.length, 0);
    if (size >= 2 ** 31) {
      throw new NorthlightError(
        'onnx/too-large',
        `${path} would have ${size} bytes; an ONNX file holds at most 2 GiB.`,
        'Write the weights to a file beside it (external data).',
      );
    }
    staged.push(
      stageFile(path, (write) => {
        for (const part of parts) write(part);
      }),
    );
    for (let file = staged.shift(); file !== undefined; file = staged.shift()) file.commit();
  } catch (error) {
    for (const file of staged) file.discard();
    throw error;
  }
}

/** Locations that the written model will still refer to. */
function keptLocations(model: Model, path: string): Set<string> {
  const locations = new Set<string>();
  for (const graph of allGraphs(model.graph)) {
    for (const [name, init] of graph.initializers) {
      if (!isExternal(init)) continue;
      checkLocation(init.external.location, name);
      locations.add(normalize(init.external.location));
    }
  }
  if (locations.size > 0 && (model.folder === undefined || realFolder(model.folder) !== realFolder(dirname(path)))) {
    throw new NorthlightError(
      'onnx/external-folder',
      `The model keeps weights in ${[...locations].join(', ')} beside it, so it cannot be written to ${path}.`,
      `Write it to ${model.folder ?? 'the folder of those files'}, or load those weights first.`,
    );
  }
  return locations;
}

function realFolder(folder: string): string {
  try {
    return realpathSync(folder);
  } catch {
    return resolve(folder);
  }
}

function refuseConflict(location: string, path: string, kept: ReadonlySet<string>): void {
  checkLocation(location, 'all weights');
  if (location === '' || normalize(location) === basename(path) || kept.has(normalize(location))) {
    throw new NorthlightError(
      'onnx/external-conflict',
      `The weights cannot be written to "${location}" beside ${path}: that file is the model itself or still in use by it.`,
      'Choose another name for the data file.',
    );
  }
}

interface ExternalPlan {
  readonly initializers: Map<string, Initializer>;
  readonly data: { readonly offset: number; readonly bytes: Uint8Array }[];
}

function planExternal(model: Model, location: string, minBytes: number): ExternalPlan {
  const plan: ExternalPlan = { initializers: new Map(), data: [] };
  let end = 0;
  for (const [name, init] of model.graph.initializers) {
    const length = isExternal(init) ? 0 : sizeBytes(init.dtype, init.data.length);
    if (isExternal(init) || init.dtype === 'string' || length === 0 || length < minBytes) {
      plan.initializers.set(name, init);
      continue;
    }
    const offset = Math.ceil(end / PAGE_BYTES) * PAGE_BYTES;
    end = offset + length;
    plan.data.push({ offset, bytes: toBytes(init) });
    const moved: ExternalTensor = { dtype: init.dtype, dims: init.dims, external: { location, offset, length } };
    plan.initializers.set(name, moved);
  }
  return plan;
}

function writeAligned(data: ExternalPlan['data'], write: Write): void {
  let position = 0;
  for (const { offset, bytes } of data) {
    write(new Uint8Array(offset - position));
    write(bytes);
    position = offset + bytes.length;
  }
}

function encodeParts(model: Model, initializers: ReadonlyMap<string, Initializer>): Uint8Array[] {
  const w = new ProtoWriter();
  w.int(1, model.irVersion);
  if (model.producerName !== '') w.string(2, model.producerName);
  w.message(7, (g) => encodeGraph(g, model.graph, initializers));
  encodeOpsets(w, 8, model.opsets);
  for (const [key, value] of model.metadata) w.message(14, (e) => encodeEntry(e, key, value));
  for (const f of model.functions?.values() ?? []) w.message(25, (m) => encodeFunction(m, f));
  return w.parts();
}

function encodeFunction(w: ProtoWriter, f: LocalFunction): void {
  w.string(1, f.name);
  for (const name of f.inputs) w.string(4, name);
  for (const name of f.outputs) w.string(5, name);
  for (const name of f.attributes) w.string(6, name);
  for (const node of f.nodes) w.message(7, (n) => encodeNode(n, node));
  encodeOpsets(w, 9, f.opsets);
  w.string(10, f.domain);
  for (const [name, attribute] of f.defaults) w.message(11, (a) => encodeAttribute(a, name, attribute));
  if (f.overload !== '') w.string(13, f.overload);
}

function encodeOpsets(w: ProtoWriter, field: number, opsets: ReadonlyMap<string, number>): void {
  for (const [domain, version] of opsets) {
    w.message(field, (o) => {
      o.string(1, domain);
      o.int(2, version);
    });
  }
}

function encodeEntry(w: ProtoWriter, key: string, value: string): void {
  w.string(1, key);
  w.string(2, value);
}

function encodeGraph(
  w: ProtoWriter,
  graph: Graph,
  initializers: ReadonlyMap<string, Initializer> = graph.initializers,
): void {
  for (const node of graph.nodes) w.message(1, (n) => encodeNode(n, node));
  w.string(2, graph.name);
  for (const [name, init] of initializers) w.message(5, (t) => encodeTensor(t, init, name));
  for (const input of graph.inputs) w.message(11, (v) => encodeValueInfo(v, input));
  for (const output of graph.outputs) w.message(12, (v) => encodeValueInfo(v, output));
  for (const info of graph.valueInfo.values()) w.message(13, (v) => encodeValueInfo(v, info));
}

function encodeNode(w: ProtoWriter, node: Node): void {
  for (const input of node.inputs) w.string(1, input);
  for (const output of node.outputs) w.string(2, output);
  if (node.name !== '') w.string(3, node.name);
  w.string(4, node.opType);
  for (const [name, attribute] of node.attributes) w.message(5, (a) => encodeAttribute(a, name, attribute));
  if (node.domain !== '') w.string(7, node.domain);
  if (node.overload !== undefined) w.string(8, node.overload);
}

function encodeAttribute(w: ProtoWriter, name: string, attribute: Attribute): void {
  w.string(1, name);
  switch (attribute.kind) {
    case 'float':
      w.float(2, attribute.value);
      break;
    case 'int':
      w.int(3, whole(attribute.value, name));
      break;
    case 'string':
      w.string(4, attribute.value);
      break;
    case 'tensor': {
      const { value } = attribute;
      w.message(5, (t) => encodeTensor(t, value, ''));
      break;
    }
    case 'graph': {
      const { value } = attribute;
      w.message(6, (g) => encodeGraph(g, value));
      break;
    }
    case 'floats':
      for (const v of attribute.value) w.float(7, v);
      break;
    case 'ints':
      for (const v of attribute.value) w.int(8, whole(v, name));
      break;
    case 'strings':
      for (const v of attribute.value) w.string(9, v);
      break;
  }
  if (attribute.kind === 'reference') {
    w.int(20, attribute.type);
    w.string(21, attribute.value);
  } else w.int(20, ATTRIBUTE_TYPE[attribute.kind]);
}

function whole(value: number, name: string): number {
  if (Number.isInteger(value)) return value;
  throw new NorthlightError('onnx/attribute', `The attribute "${name}" is ${value}, but must be a whole number.`);
}

function encodeTensor(w: ProtoWriter, init: Initializer, name: string): void {
  for (const d of init.dims) w.int(1, d);
  w.int(2, DATA_TYPE[init.dtype]);
  if (isExternal(init)) {
    const { location, offset, length } = init.external;
    w.string(8, name);
    w.message(13, (e) => encodeEntry(e, 'location', location));
    w.message(13, (e) => encodeEntry(e, 'offset', String(offset)));
    w.message(13, (e) => encodeEntry(e, 'length', String(length)));
    w.int(14, 1);
    return;
  }
  if (init.dtype === 'string') for (const s of init.data as string[]) w.bytes(6, Buffer.from(s, 'utf8'));
  if (name !== '') w.string(8, name);
  if (init.dtype !== 'string') w.bytes(9, toBytes(init));
}

function encodeValueInfo(w: ProtoWriter, info: ValueInfo): void {
  w.string(1, info.name);
  if (info.untyped) return;
  w.message(2, (type) => encodeType(type, info, info.containers ?? []));
}

function encodeType(w: ProtoWriter, info: ValueInfo, containers: NonNullable<ValueInfo['containers']>): void {
  const [outermost, ...inner] = containers;
  if (outermost !== undefined) {
    w.message(outermost === 'sequence' ? 4 : 9, (c) => c.message(1, (element) => encodeType(element, info, inner)));
    return;
  }
  w.message(1, (t) => {
    t.int(1, DATA_TYPE[info.dtype]);
    const { dims } = info;
    if (dims === null) return;
    t.message(2, (shape) => {
      for (const dim of dims) {
        shape.message(1, (d) => {
          if (typeof dim === 'number') d.int(1, dim);
          else if (typeof dim === 'string') d.string(2, dim);
        });
      }
    });
  });
}
