import { NorthlightError } from '#models/errors.ts';
import { readAt, replaceFile, type Write, withFile } from '#models/files.ts';
import { DATA_TYPE } from './data-types.ts';
import type { Dim } from './ir.ts';
import { type ProtoReader, ProtoWriter } from './proto.ts';
import { ProtoStream } from './proto-stream.ts';
import { inFile, parseValueInfo } from './read.ts';

/** A stretch of the source file, or bytes in its place. */
type Piece = { readonly start: number; readonly end: number } | Uint8Array;

const CHUNK_BYTES = 1 << 22;
const GRAPH = 7;
const INPUT = 11;
const OUTPUT = 12;
const VALUE_INFO = 13;

/**
 * Writes an ONNX file anew with free sizes replaced by numbers. Everything but the declarations of inputs, outputs and
 * intermediate values is copied byte by byte, so that weights inside the file are never held in memory.
 * @param sizes by the names of free sizes. @param inputs by input name: sizes for axes that have no name.
 * @throws NorthlightError `onnx/…` when the source is not a model.
 */
export function fixSizes(
  source: string,
  target: string,
  sizes: ReadonlyMap<string, number>,
  inputs: ReadonlyMap<string, readonly number[]>,
): void {
  withFile(source, (fd, size) => {
    let pieces: Piece[];
    try {
      pieces = fileOf(ProtoStream.of(fd, size, source), sizes, inputs);
    } catch (error) {
      throw inFile(error, source, { irVersion: true, graph: false });
    }
    replaceFile(target, (write) => {
      for (const piece of pieces) {
        if (piece instanceof Uint8Array) write(piece);
        else copy(fd, piece, source, write);
      }
    });
  });
}

function copy(fd: number, { start, end }: { start: number; end: number }, path: string, write: Write): void {
  for (let at = start; at < end; at += CHUNK_BYTES) {
    const bytes = readAt(fd, at, Math.min(CHUNK_BYTES, end - at), path);
    if (bytes.length === 0) throw new NorthlightError('onnx/truncated', `${path} was cut short while it was copied.`);
    write(bytes);
  }
}

function fileOf(r: ProtoStream, sizes: ReadonlyMap<string, number>, inputs: ReadonlyMap<string, readonly number[]>) {
  const pieces: Piece[] = [];
  for (let start = r.position, field = r.next(); field !== 0; start = r.position, field = r.next()) {
    if (field !== GRAPH) {
      r.skip();
      pieces.push({ start, end: r.position });
      continue;
    }
    const inside = graphOf(r.message(), sizes, inputs);
    const length = inside.reduce((sum, p) => sum + (p instanceof Uint8Array ? p.length : p.end - p.start), 0);
    pieces.push(header(GRAPH, length), ...inside);
  }
  return pieces;
}

function graphOf(r: ProtoStream, sizes: ReadonlyMap<string, number>, inputs: ReadonlyMap<string, readonly number[]>) {
  const pieces: Piece[] = [];
  for (let start = r.position, field = r.next(); field !== 0; start = r.position, field = r.next()) {
    if (field !== INPUT && field !== OUTPUT && field !== VALUE_INFO) {
      r.skip();
      pieces.push({ start, end: r.position });
      continue;
    }
    const info = r.smallMessage((m: ProtoReader) => parseValueInfo(m));
    if (
      info.dtype === undefined ||
      info.dims === null ||
      info.containers ||
      !info.dims.some((d) => typeof d !== 'number')
    ) {
      pieces.push({ start, end: r.position });
      continue;
    }
    const given = field === INPUT ? inputs.get(info.name) : undefined;
    const dims = info.dims.map((d, i): Dim => given?.[i] ?? (typeof d === 'string' ? (sizes.get(d) ?? d) : d));
    pieces.push(valueInfo(field, info.name, DATA_TYPE[info.dtype], dims));
  }
  return pieces;
}

function valueInfo(field: number, name: string, dataType: number, dims: readonly Dim[]): Uint8Array {
  const w = new ProtoWriter();
  w.message(field, (v) => {
    v.string(1, name);
    v.message(2, (type) =>
      type.message(1, (tensor) => {
        tensor.int(1, dataType);
        tensor.message(2, (shape) => {
          for (const d of dims) {
            shape.message(1, (dim) => {
              if (typeof d === 'number') dim.int(1, d);
              else if (d !== null) dim.string(2, d);
            });
          }
        });
      }),
    );
  });
  return Buffer.concat(w.parts());
}

/** Tag and length of a message that is written elsewhere. */
function header(field: number, length: number): Uint8Array {
  const out: number[] = [field * 8 + 2];
  let rest = length;
  while (rest >= 128) {
    out.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  out.push(rest);
  return Uint8Array.from(out);
}
