import { NorthlightError } from '#models/errors.ts';
import { readAt, withFile } from '#models/files.ts';
import { dtypeOf } from '#models/onnx/data-types.ts';
import { externalBytes, placeOfFile } from '#models/onnx/external.ts';
import { ProtoStream } from '#models/onnx/proto-stream.ts';
import {
  elementCount,
  inFile,
  MAX_GRAPH_DEPTH,
  MAX_NODES,
  mustHaveType,
  normalDomain,
  notOnnx,
  parseEntry,
  parseOpset,
  parseValueInfo,
  recognise,
  wholeNumber,
  wrongSize,
} from '#models/onnx/read.ts';
import { type DType, isFloat, sizeBytes } from '#models/tensor/tensor.ts';
import type { GraphSignature, SignaturePort, WeightFile } from './types.ts';

const AGAIN = 'Export or copy the model again.';

/** What is gathered while the file is walked. */
interface Found {
  readonly inputs: SignaturePort[];
  readonly outputs: SignaturePort[];
  readonly weightNames: Set<string>;
  /** Elements of the floating-point weights by how they are stored. */
  readonly elements: Map<DType, number>;
  readonly operators: Map<string, number>;
  /** Functions that the model defines itself: calls of them are no operators. */
  readonly functions: Set<string>;
  /** By location: where the last weight ends, and its name. */
  readonly external: Map<string, { end: number; name: string }>;
  nodes: number;
}

/**
 * What an ONNX file says of itself. Weights are stepped over, not read: gigabytes of them cost a few megabytes of memory.
 * Weights beside the file may be missing or too short (`weightFiles`), and may be of types that only a runtime can hold.
 * Unlike `readModel` it does not check that the graph is sound.
 * @throws NorthlightError as `readModel` does: `file/…`, `onnx/not-onnx`, `onnx/lfs-pointer`, `onnx/truncated`,
 *   `onnx/malformed`, `onnx/external-outside`, …
 */
export function readSignature(path: string): GraphSignature {
  return withFile(path, (fd, size) => {
    recognise(readAt(fd, 0, Math.min(size, 64), path), path);
    const seen = { irVersion: false, graph: false };
    try {
      return readFile(ProtoStream.of(fd, size, path), path, size, seen);
    } catch (error) {
      throw inFile(error, path, seen);
    }
  });
}

function readFile(
  r: ProtoStream,
  path: string,
  size: number,
  seen: { irVersion: boolean; graph: boolean },
): GraphSignature {
  let producer = '';
  let producerVersion = '';
  const opsets = new Map<string, number>();
  const found: Found = {
    inputs: [],
    outputs: [],
    weightNames: new Set(),
    elements: new Map(),
    operators: new Map(),
    functions: new Set(),
    external: new Map(),
    nodes: 0,
  };
  for (let field = r.next(); field !== 0; field = r.next()) {
    if (field === 1) {
      const version = r.int();
      seen.irVersion = version > 0 && version < 1000;
    } else if (field === 2) producer = r.string();
    else if (field === 3) producerVersion = r.string();
    else if (field === 7) {
      if (seen.graph) throw new NorthlightError('onnx/duplicate', 'It holds two graphs.', AGAIN);
      seen.graph = true;
      readGraph(r.message(), found, 0);
    } else if (field === 8) opsets.set(...r.smallMessage(parseOpset));
    else if (field === 25) readFunction(r.message(), found);
    else r.skip();
  }
  if (!seen.graph || !seen.irVersion) throw notOnnx(path, 'It holds no graph.');

  for (const own of found.functions) found.operators.delete(own);
  const place = placeOfFile(path);
  const weightFiles = [...found.external].map(
    ([location, { end, name }]): WeightFile => ({
      location,
      neededBytes: end,
      foundBytes: externalBytes(place, location, name),
    }),
  );
  const stored = [...found.elements].sort((a, b) => b[1] - a[1]);
  return {
    path,
    // Old exporters list weights as inputs too.
    inputs: found.inputs.filter((input) => !found.weightNames.has(input.name)),
    outputs: found.outputs,
    opsets,
    producer,
    producerVersion,
    precision: stored[0]?.[0] ?? 'none',
    parameters: stored.reduce((sum, [, n]) => sum + n, 0),
    operators: found.operators,
    weightFiles,
    sizeBytes: size + weightFiles.reduce((sum, file) => sum + (file.foundBytes ?? 0), 0),
  };
}

function readGraph(r: ProtoStream, found: Found, depth: number): void {
  if (depth > MAX_GRAPH_DEPTH) {
    throw new NorthlightError('onnx/too-deep', `Graphs are nested more than ${MAX_GRAPH_DEPTH} deep.`, AGAIN);
  }
  for (let field = r.next(); field !== 0; field = r.next()) {
    if (field === 1) readNode(r.message(), found, depth);
    else if (field === 5) {
      const weight = readTensor(r.message(), found);
      if (depth === 0) found.weightNames.add(weight.name);
      if (weight.dtype !== undefined && isFloat(weight.dtype)) {
        found.elements.set(weight.dtype, (found.elements.get(weight.dtype) ?? 0) + weight.elements);
      }
    } else if (depth === 0 && field === 11) found.inputs.push(readPort(r, 'input'));
    else if (depth === 0 && field === 12) found.outputs.push(readPort(r, 'output'));
    else r.skip();
  }
}

function readPort(r: ProtoStream, what: 'input' | 'output'): SignaturePort {
  const { name, dtype, dims } = mustHaveType(r.smallMessage(parseValueInfo), what, 0);
  return { name, dtype, dims: dims ?? [] };
}

function readFunction(r: ProtoStream, found: Found): void {
  let name = '';
  let domain = '';
  for (let field = r.next(); field !== 0; field = r.next()) {
    if (field === 1) name = r.string();
    else if (field === 7) readNode(r.message(), found, 0);
    else if (field === 10) domain = normalDomain(r.string());
    else r.skip();
  }
  found.functions.add(operatorName(domain, name));
}

const operatorName = (domain: string, opType: string) => (domain === '' ? opType : `${domain}:${opType}`);

function readNode(r: ProtoStream, found: Found, depth: number): void {
  if (++found.nodes > MAX_NODES) {
    throw new NorthlightError('onnx/too-large', `The model has more than ${MAX_NODES} nodes.`, AGAIN);
  }
  let opType = '';
  let domain = '';
  for (let field = r.next(); field !== 0; field = r.next()) {
    if (field === 4) opType = r.string();
    else if (field === 5) readAttribute(r.message(), found, depth);
    else if (field === 7) domain = normalDomain(r.string());
    else r.skip();
  }
  const key = operatorName(domain, opType);
  found.operators.set(key, (found.operators.get(key) ?? 0) + 1);
}

/** Only branches, loop bodies and tensors matter here. */
function readAttribute(r: ProtoStream, found: Found, depth: number): void {
  for (let field = r.next(); field !== 0; field = r.next()) {
    if (field === 5) readTensor(r.message(), found);
    else if (field === 6) readGraph(r.message(), found, depth + 1);
    else r.skip();
  }
}

/** `dtype` is undefined for element types that we cannot hold. */
function readTensor(r: ProtoStream, found: Found): { name: string; dtype: DType | undefined; elements: number } {
  let name = '';
  let dataType = 0;
  let isExternal = false;
  let rawBytes: number | undefined;
  const dims: number[] = [];
  const entries = new Map<string, string>();
  for (let field = r.next(); field !== 0; field = r.next()) {
    if (field === 1) r.ints(dims);
    else if (field === 2) dataType = r.int();
    else if (field === 8) name = r.string();
    else if (field === 9) rawBytes = r.skip();
    else if (field === 13) entries.set(...r.smallMessage(parseEntry));
    else if (field === 14) isExternal = r.int() === 1;
    else r.skip();
  }
  const dtype = dtypeOf(dataType);
  const elements = elementCount(name, dims);
  const neededBytes = dtype === undefined ? undefined : sizeBytes(dtype, elements);
  if (isExternal) {
    const length = wholeNumber(entries.get('length') ?? String(neededBytes ?? 0));
    const offset = wholeNumber(entries.get('offset') ?? '0');
    if (length === undefined || offset === undefined || (neededBytes !== undefined && length !== neededBytes)) {
      throw wrongSize(
        name,
        dtype ?? 'uint8',
        dims,
        `offset ${entries.get('offset')} and length ${entries.get('length')}`,
      );
    }
    const location = entries.get('location') ?? '';
    const known = found.external.get(location);
    if (known === undefined || known.end < offset + length)
      found.external.set(location, { end: offset + length, name });
  } else if (rawBytes !== undefined && neededBytes !== undefined && rawBytes !== neededBytes) {
    throw wrongSize(name, dtype ?? 'uint8', dims, `${rawBytes} bytes`);
  }
  return { name, dtype, elements };
}
