import { concatBytes, plainBytes } from '#models/bytes.ts';
import { NorthlightError } from '#models/errors.ts';
import { readAt, withFile } from '#models/files.ts';
import { checkModel, topologicalSort } from '#models/onnx/check.ts';
import { ATTRIBUTE_TYPE, dtypeOf } from '#models/onnx/data-types.ts';
import {
  checkExternal,
  checkLocation,
  isLfsPointer,
  lfsPointer,
  type Place,
  placeOfFile,
  readExternal,
} from '#models/onnx/external.ts';
import {
  type Attribute,
  type Dim,
  type ExternalTensor,
  functionKey,
  type Graph,
  type Initializer,
  isExternal,
  type LocalFunction,
  type Model,
  type Node,
  type ValueInfo,
} from '#models/onnx/ir.ts';
import { ProtoFault, ProtoReader } from '#models/onnx/proto.ts';
import { describeNode, subgraphs } from '#models/onnx/traverse.ts';
import { PACKED_BITS } from '#models/tensor/narrow.ts';
import { allocate, type DType, fromBytes, sizeBytes, type Tensor, type TypedArrays } from '#models/tensor/tensor.ts';

export { loadInitializer } from '#models/onnx/external.ts';

/** Protobuf's own limit for one message. Larger models keep their weights in a file beside them. */
export const MAX_MODEL_BYTES = 2 ** 31;
export const MAX_GRAPH_DEPTH = 32;
export const MAX_NODES = 1_000_000;
const AGAIN = 'Export or copy the model again.';

/** What every parsing function needs to know besides its bytes. */
interface Context {
  /** The file, as errors name it. */
  readonly where: string;
  readonly place: Place | undefined;
  nodeCount: number;
}

/**
 * Reads and checks an ONNX file. Weights in files beside it are checked to be there, but not read. Nodes are brought into
 * execution order; weights that are also listed as graph inputs (as old exporters do) stay weights only.
 * @throws NorthlightError `file/…` when the file cannot be read, `onnx/…` when it is not a model we can hold.
 */
export function readModel(path: string): Model {
  const bytes = withFile(path, (fd, size) => {
    recognise(readAt(fd, 0, Math.min(size, 64), path), path);
    if (size >= MAX_MODEL_BYTES) {
      throw new NorthlightError(
        'onnx/too-large',
        `${path} has ${size} bytes; an ONNX file holds at most 2 GiB.`,
        'Export the model with its weights in a file beside it (external data).',
      );
    }
    return readAt(fd, 0, size, path);
  });
  return parseAt(bytes, path, placeOfFile(path));
}

/**
 * As `readModel`, from bytes. Numeric tensors are views of `bytes` where alignment allows.
 * @param where names the source in errors. @param folder is where external data lies; without it such weights cannot be loaded.
 */
export function parseModel(bytes: Uint8Array, where: string, folder?: string): Model {
  return parseAt(bytes, where, folder === undefined ? undefined : { folder });
}

function parseAt(bytes: Uint8Array, where: string, place: Place | undefined): Model {
  recognise(bytes, where);
  const context: Context = { where, place, nodeCount: 0 };
  const seen = { irVersion: false, graph: false };
  try {
    const model = parseModelProto(new ProtoReader(plainBytes(bytes)), context, seen);
    sortGraphs(model.graph);
    for (const f of model.functions?.values() ?? []) sortNodes(f);
    checkModel(model);
    return model;
  } catch (error) {
    throw inFile(error, where, seen);
  }
}

/** Says what a file is when it clearly is something else. */
export function recognise(start: Uint8Array, where: string): void {
  if (start.length === 0) throw new NorthlightError('onnx/empty', `${where} is empty.`, AGAIN);
  if (isLfsPointer(start)) throw lfsPointer(where);
  const text = Buffer.from(start.buffer, start.byteOffset, Math.min(start.length, 64)).toString('latin1');
  const magic = Object.entries(FOREIGN_STARTS).find(([start]) => text.startsWith(start))?.[1];
  if (magic !== undefined) throw notOnnx(where, `It looks like ${magic}.`);
  // Eight bytes of header length, the upper four of which are zero, then JSON.
  if (text.slice(4, 9) === '\0\0\0\0{') throw notOnnx(where, 'It looks like a safetensors file.');
  if (/^\s*</.test(text)) throw notOnnx(where, 'It looks like a web page or XML file.');
  if (/^\s*\{/.test(text)) throw notOnnx(where, 'It looks like a JSON file.');
}

/** First bytes of files that people mistake for models; none of them can start a ModelProto. */
const FOREIGN_STARTS: Readonly<Record<string, string>> = {
  'PK\x03\x04': 'a zip archive or a PyTorch file',
  '\x80\x02': 'a Python pickle',
  '\x80\x04': 'a Python pickle',
  '\x89PNG': 'an image',
  '\xff\xd8\xff': 'an image',
  '\x1f\x8b': 'a gzip archive',
  GGUF: 'a GGUF file',
};

export function notOnnx(where: string, why: string): NorthlightError {
  return new NorthlightError(
    'onnx/not-onnx',
    `${where} is not an ONNX model. ${why}`,
    'Choose a file that ends in .onnx.',
  );
}

/** Wire-format faults by their cause; every message names the file. */
export function inFile(error: unknown, where: string, seen: { irVersion: boolean; graph: boolean }): unknown {
  if (error instanceof ProtoFault) {
    const at = `at byte ${error.offset}: ${error.message}`;
    if (error.depth === 0 && error.overrun && seen.irVersion) {
      return new NorthlightError('onnx/truncated', `${where} was cut short (${at}).`, 'Copy or download it again.');
    }
    if (error.depth === 0 && !seen.graph) return notOnnx(where, `It stops making sense ${at}.`);
    return new NorthlightError('onnx/malformed', `${where} is damaged ${at}.`, AGAIN);
  }
  if (error instanceof NorthlightError && !error.message.includes(where)) {
    return new NorthlightError(error.code, `${where}: ${error.message}`, error.hint, { cause: error });
  }
  return error;
}

function parseModelProto(r: ProtoReader, context: Context, seen: { irVersion: boolean; graph: boolean }): Model {
  let irVersion = 0;
  let producerName = '';
  let graph: Graph | undefined;
  const opsets = new Map<string, number>();
  const metadata = new Map<string, string>();
  const functions = new Map<string, LocalFunction>();
  for (let field = r.next(); field !== 0; field = r.next()) {
    if (field === 1) {
      irVersion = r.int();
      seen.irVersion = irVersion > 0 && irVersion < 1000;
    } else if (field === 2) producerName = r.string();
    else if (field === 7) {
      if (graph !== undefined) throw new NorthlightError('onnx/duplicate', 'It holds two graphs.', AGAIN);
      seen.graph = true;
      graph = parseGraph(r.message(), context, 0);
    } else if (field === 8) {
      const [domain, version] = parseOpset(r.message());
      opsets.set(domain, version);
    } else if (field === 14) {
      const [key, value] = parseEntry(r.message());
      metadata.set(key, value);
    } else if (field === 25) {
      const f = parseFunction(r.message(), context);
      const key = functionKey(f, f.name);
      if (functions.has(key))
        throw new NorthlightError('onnx/duplicate', `The function "${f.name}" is defined twice.`, AGAIN);
      functions.set(key, f);
    } else r.skip();
  }
  if (graph === undefined || !seen.irVersion) throw notOnnx(context.where, 'It holds no graph.');
  const own = functions.size > 0 ? { functions } : {};
  // Since IR version 4 weights need not be graph inputs too, and here they never are.
  return { irVersion: Math.max(irVersion, 4), producerName, opsets, metadata, graph, ...own, ...context.place };
}

export function parseOpset(r: ProtoReader): [domain: string, version: number] {
  let domain = '';
  let version = 0;
  for (let field = r.next(); field !== 0; field = r.next()) {
    if (field === 1) domain = normalDomain(r.string());
    else if (field === 2) version = r.int();
    else r.skip();
  }
  return [domain, version];
}

/** `ai.onnx` is the long name of the standard domain. */
export function normalDomain(domain: string): string {
  return domain === 'ai.onnx' ? '' : domain;
}

export function parseEntry(r: ProtoReader): [key: string, value: string] {
  let key = '';
  let value = '';
  for (let field = r.next(); field !== 0; field = r.next()) {
    if (field === 1) key = r.string();
    else if (field === 2) value = r.string();
    else r.skip();
  }
  return [key, value];
}

function parseFunction(r: ProtoReader, context: Context): LocalFunction {
  const f: LocalFunction = {
    name: '',
    domain: '',
    overload: '',
    inputs: [],
    outputs: [],
    attributes: [],
    defaults: new Map(),
    nodes: [],
    opsets: new Map(),
  };
  const defaults: ProtoReader[] = [];
  for (let field = r.next(); field !== 0; field = r.next()) {
    if (field === 1) f.name = r.string();
    else if (field === 4) f.inputs.push(r.string());
    else if (field === 5) f.outputs.push(r.string());
    else if (field === 6) f.attributes.push(r.string());
    else if (field === 7) f.nodes.push(parseNode(r.message(), context, 0));
    else if (field === 9) {
      const [domain, version] = parseOpset(r.message());
      f.opsets.set(domain, version);
    } else if (field === 10) f.domain = normalDomain(r.string());
    else if (field === 11) defaults.push(r.message());
    else if (field === 13) f.overload = r.string();
    else r.skip();
  }
  const named: Node = {
    opType: f.name,
    domain: f.domain,
    name: f.name,
    inputs: [],
    outputs: [],
    attributes: f.defaults,
  };
  for (const reader of defaults) f.defaults.set(...parseAttribute(reader, context, 0, named));
  return f;
}

function parseGraph(r: ProtoReader, context: Context, depth: number): Graph {
  if (depth > MAX_GRAPH_DEPTH) {
    throw new NorthlightError('onnx/too-deep', `Graphs are nested more than ${MAX_GRAPH_DEPTH} deep.`, AGAIN);
  }
  const graph: Graph = { name: '', nodes: [], inputs: [], outputs: [], initializers: new Map(), valueInfo: new Map() };
  const external: [string, ExternalTensor][] = [];
  for (let field = r.next(); field !== 0; field = r.next()) {
    if (field === 1) graph.nodes.push(parseNode(r.message(), context, depth));
    else if (field === 2) graph.name = r.string();
    else if (field === 5) {
      const [name, init] = parseTensor(r.message());
      if (graph.initializers.has(name))
        throw new NorthlightError('onnx/duplicate', `There are two weights called "${name}".`, AGAIN);
      graph.initializers.set(name, init);
      if (isExternal(init)) external.push([name, init]);
    } else if (field === 11) graph.inputs.push(mustHaveType(parseValueInfo(r.message()), 'input', depth));
    else if (field === 12) graph.outputs.push(mustHaveType(parseValueInfo(r.message()), 'output', depth));
    else if (field === 13) {
      const info = parseValueInfo(r.message());
      if (info.dtype !== undefined && info.containers === undefined)
        graph.valueInfo.set(info.name, { name: info.name, dtype: info.dtype, dims: info.dims });
    } else if (field === 15) {
      throw new NorthlightError(
        'onnx/sparse',
        'The model has sparse weights, which are not supported.',
        'Export it with dense weights.',
      );
    } else r.skip();
  }
  if (context.place !== undefined) checkExternal(external, context.place);
  graph.inputs = graph.inputs.filter((input) => !graph.initializers.has(input.name));
  for (const known of [...graph.inputs, ...graph.outputs]) graph.valueInfo.delete(known.name);
  for (const name of graph.initializers.keys()) graph.valueInfo.delete(name);
  return graph;
}

function sortGraphs(graph: Graph): void {
  for (const node of graph.nodes) for (const inner of subgraphs(node)) sortGraphs(inner);
  graph.nodes = topologicalSort(graph);
}

function sortNodes(f: LocalFunction): void {
  for (const node of f.nodes) for (const inner of subgraphs(node)) sortGraphs(inner);
  f.nodes = topologicalSort(f);
}

function parseNode(r: ProtoReader, context: Context, depth: number): Node {
  if (++context.nodeCount > MAX_NODES) {
    throw new NorthlightError('onnx/too-large', `The model has more than ${MAX_NODES} nodes.`, AGAIN);
  }
  const node: Node = { opType: '', domain: '', name: '', inputs: [], outputs: [], attributes: new Map() };
  const attributes: ProtoReader[] = [];
  for (let field = r.next(); field !== 0; field = r.next()) {
    if (field === 1) node.inputs.push(r.string());
    else if (field === 2) node.outputs.push(r.string());
    else if (field === 3) node.name = r.string();
    else if (field === 4) node.opType = r.string();
    else if (field === 5) attributes.push(r.message());
    else if (field === 7) node.domain = normalDomain(r.string());
    else if (field === 8) {
      const overload = r.string();
      if (overload !== '') node.overload = overload;
    } else r.skip();
  }
  // Read last, so that errors can name the node whatever the order of the fields.
  for (const reader of attributes) {
    const [name, attribute] = parseAttribute(reader, context, depth, node);
    if (node.attributes.has(name)) {
      throw new NorthlightError('onnx/duplicate', `The ${describeNode(node)} has two attributes "${name}".`, AGAIN);
    }
    node.attributes.set(name, attribute);
  }
  return node;
}

function parseAttribute(r: ProtoReader, context: Context, depth: number, node: Node): [name: string, value: Attribute] {
  let name = '';
  let type = 0;
  let inferred = 0;
  let f = 0;
  let i = 0;
  let s = '';
  let t: Tensor | undefined;
  let g: Graph | undefined;
  let refused = false;
  let reference = '';
  const floats: number[] = [];
  const ints: number[] = [];
  const strings: string[] = [];
  for (let field = r.next(); field !== 0; field = r.next()) {
    if (field === 1) name = r.string();
    else if (field === 2) f = r.float();
    else if (field === 3) i = r.int();
    else if (field === 4) s = r.string();
    else if (field === 5) t = resident(parseTensor(r.message()), context);
    else if (field === 6) g = parseGraph(r.message(), context, depth + 1);
    else if (field === 7) r.floats(floats);
    else if (field === 8) r.ints(ints);
    else if (field === 9) strings.push(r.string());
    else if (field === 20) type = r.int();
    else if (field === 21) reference = r.string();
    else if (field === 10 || field === 11 || field === 14 || field === 15 || field >= 21) {
      refused = true;
      r.skip();
    } else r.skip();
    // Files of IR version 1 have no type: the field that is set tells.
    if (field >= 2 && field <= 9) inferred = [0, 0, 1, 2, 3, 4, 5, 6, 7, 8][field]!;
  }
  if (type === 0) type = inferred;
  if (reference !== '') return [name, { kind: 'reference', value: reference, type }];
  if (!refused || type === inferred) {
    if (type === ATTRIBUTE_TYPE.float) return [name, { kind: 'float', value: f }];
    if (type === ATTRIBUTE_TYPE.int) return [name, { kind: 'int', value: i }];
    if (type === ATTRIBUTE_TYPE.string) return [name, { kind: 'string', value: s }];
    if (type === ATTRIBUTE_TYPE.tensor && t !== undefined) return [name, { kind: 'tensor', value: t }];
    if (type === ATTRIBUTE_TYPE.graph && g !== undefined) return [name, { kind: 'graph', value: g }];
    if (type === ATTRIBUTE_TYPE.floats) return [name, { kind: 'floats', value: floats }];
    if (type === ATTRIBUTE_TYPE.ints) return [name, { kind: 'ints', value: ints }];
    if (type === ATTRIBUTE_TYPE.strings) return [name, { kind: 'strings', value: strings }];
  }
  throw new NorthlightError(
    'onnx/unsupported-attribute',
    `The attribute "${name}" of the ${describeNode(node)} is of a kind (${type}) that is not supported.`,
    'Sparse tensors, type descriptions and lists of tensors or graphs cannot be read: export the model without them.',
  );
}

/** Attribute tensors are always held in memory. */
function resident([name, init]: [string, Initializer], context: Context): Tensor {
  return isExternal(init) ? readExternal(init, context.place, name) : init;
}

interface ParsedType {
  dtype: DType | undefined;
  dims: Dim[] | null;
  containers?: ('sequence' | 'optional')[];
  /** Nothing is said about the type. */
  empty?: true;
}

export function parseValueInfo(r: ProtoReader): ParsedType & { name: string } {
  let name = '';
  let type: ParsedType = { dtype: undefined, dims: null, empty: true };
  for (let field = r.next(); field !== 0; field = r.next()) {
    if (field === 1) name = r.string();
    else if (field === 2) type = parseType(r.message());
    else r.skip();
  }
  return { name, ...type };
}

const MAX_CONTAINERS = 8;

/** TypeProto: a dense tensor, or sequences and optionals of one; maps and sparse tensors give an undefined element type. */
function parseType(r: ProtoReader, depth = 0): ParsedType {
  let type: ParsedType = { dtype: undefined, dims: null, empty: true };
  for (let field = r.next(); field !== 0; field = r.next()) {
    delete type.empty;
    if (field === 1) {
      const t = r.message();
      for (let inner = t.next(); inner !== 0; inner = t.next()) {
        if (inner === 1) type.dtype = dtypeOf(t.int());
        else if (inner === 2) type.dims = parseShape(t.message());
        else t.skip();
      }
    } else if ((field === 4 || field === 9) && depth < MAX_CONTAINERS) {
      const t = r.message();
      for (let inner = t.next(); inner !== 0; inner = t.next()) {
        if (inner !== 1) {
          t.skip();
          continue;
        }
        const element = parseType(t.message(), depth + 1);
        const container = field === 4 ? 'sequence' : 'optional';
        type = { ...element, containers: [container, ...(element.containers ?? [])] };
      }
    } else r.skip();
  }
  return type;
}

function parseShape(r: ProtoReader): Dim[] {
  const dims: Dim[] = [];
  for (let field = r.next(); field !== 0; field = r.next()) {
    if (field !== 1) {
      r.skip();
      continue;
    }
    const d = r.message();
    let dim: Dim = null;
    for (let inner = d.next(); inner !== 0; inner = d.next()) {
      if (inner === 1) {
        const value = d.int();
        dim = value >= 0 ? value : null; // some exporters write −1 for a free size
      } else if (inner === 2) dim = d.string() || null;
      else d.skip();
    }
    dims.push(dim);
  }
  return dims;
}

export function mustHaveType(info: ParsedType & { name: string }, what: string, depth: number): ValueInfo {
  // Bodies of branches and loops may leave types to be worked out.
  if (info.empty && depth > 0) return { name: info.name, dtype: 'float32', dims: null, untyped: true };
  if (info.dtype !== undefined) {
    const { name, dtype, dims, containers } = info;
    return containers ? { name, dtype, dims, containers } : { name, dtype, dims };
  }
  throw new NorthlightError(
    'onnx/unsupported-type',
    `The graph ${what} "${info.name}" is not a tensor of a type that is supported.`,
    'Export the model with dense tensors of standard number types.',
  );
}

function parseTensor(r: ProtoReader): [name: string, init: Initializer] {
  let name = '';
  let dataType = 0;
  let raw: Uint8Array | undefined;
  let isExternalData = false;
  const dims: number[] = [];
  const fixed: Uint8Array[] = [];
  const int32: number[] = [];
  const wide: bigint[] = [];
  const strings: string[] = [];
  const external = new Map<string, string>();
  for (let field = r.next(); field !== 0; field = r.next()) {
    if (field === 1) r.ints(dims);
    else if (field === 2) dataType = r.int();
    else if (field === 4) r.fixed(fixed, 4);
    else if (field === 5) r.ints(int32);
    else if (field === 6) strings.push(r.string());
    else if (field === 7 || field === 11) r.bigints(wide);
    else if (field === 8) name = r.string();
    else if (field === 9) raw = r.view();
    else if (field === 10) r.fixed(fixed, 8);
    else if (field === 13) {
      const [key, value] = parseEntry(r.message());
      external.set(key, value);
    } else if (field === 14) isExternalData = r.int() === 1;
    else r.skip();
  }
  const dtype = dtypeOf(dataType);
  if (dtype === undefined) {
    throw new NorthlightError(
      'onnx/unsupported-type',
      `The tensor "${name}" has element type ${dataType}, which is not supported.`,
      'Export the model with standard number types (complex types cannot be read).',
    );
  }
  const n = elementCount(name, dims);
  if (isExternalData) return [name, parseExternal(name, dtype, dims, n, external)];
  if (raw !== undefined || dtype === 'float32' || dtype === 'float64') {
    const bytes = raw ?? (fixed.length === 1 ? fixed[0]! : concatBytes(fixed));
    if (dtype === 'string' || bytes.length !== sizeBytes(dtype, n))
      throw wrongSize(name, dtype, dims, `${bytes.length} bytes`);
    return [name, fromBytes(dtype, dims, bytes)];
  }
  const values =
    dtype === 'string' ? strings : dtype === 'int64' || dtype === 'uint64' || dtype === 'uint32' ? wide : int32;
  // Types that share bytes come as bytes here too, one to an entry.
  if (dtype in PACKED_BITS && int32.length === sizeBytes(dtype, n))
    return [name, fromBytes(dtype, dims, Uint8Array.from(int32))];
  if (values.length !== n) throw wrongSize(name, dtype, dims, `${values.length} values`);
  if (dtype === 'string') return [name, { dtype, dims, data: strings }];
  const data = allocate(dtype, n) as Exclude<TypedArrays[DType], string[]>;
  // Integer arrays wrap what is stored in them, so a negative 64-bit pattern becomes the small negative number it stands for.
  if (dtype === 'uint32') for (let k = 0; k < n; k++) data[k] = Number(BigInt.asUintN(32, wide[k]!));
  else (data as { set(from: ArrayLike<number | bigint>): void }).set(values as (number | bigint)[]);
  return [name, { dtype, dims, data }];
}

export function elementCount(name: string, dims: readonly number[]): number {
  if (dims.length > 64 || dims.some((d) => d < 0 || !Number.isSafeInteger(d))) {
    throw new NorthlightError(
      'onnx/tensor-size',
      `The tensor "${name}" has the impossible shape [${dims.join(', ')}].`,
      AGAIN,
    );
  }
  if (dims.includes(0)) return 0;
  const n = dims.reduce((a, b) => a * b, 1);
  if (n > 2 ** 48) {
    throw new NorthlightError(
      'onnx/tensor-size',
      `The tensor "${name}" has the impossible shape [${dims.join(', ')}].`,
      AGAIN,
    );
  }
  return n;
}

export function wrongSize(name: string, dtype: DType, dims: readonly number[], found: string): NorthlightError {
  return new NorthlightError(
    'onnx/tensor-size',
    `The ${dtype} tensor "${name}" of shape [${dims.join(', ')}] comes with ${found}, which does not fit.`,
    AGAIN,
  );
}

function parseExternal(
  name: string,
  dtype: DType,
  dims: readonly number[],
  n: number,
  entries: ReadonlyMap<string, string>,
): ExternalTensor {
  const location = entries.get('location') ?? '';
  checkLocation(location, name);
  const needed = sizeBytes(dtype, n);
  const offset = wholeNumber(entries.get('offset') ?? '0');
  const length = wholeNumber(entries.get('length') ?? String(needed));
  if (dtype === 'string' || length !== needed || offset === undefined) {
    const found = `offset ${entries.get('offset') ?? 0} and length ${entries.get('length') ?? needed} in "${location}"`;
    throw wrongSize(name, dtype, dims, found);
  }
  return { dtype, dims, external: { location, offset, length } };
}

export function wholeNumber(text: string): number | undefined {
  const value = Number(text);
  return /^\d{1,16}$/.test(text) && Number.isSafeInteger(value) ? value : undefined;
}
