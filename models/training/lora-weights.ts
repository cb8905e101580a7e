import { loadInitializer, placeOf, readExternal } from '#models/onnx/external.ts';
import { isExternal, type Model } from '#models/onnx/ir.ts';
import { dimsEqual, numel, sizeBytes, toBytes } from '#models/tensor/tensor.ts';

/** Bytes looked at or copied at a time. */
const PIECE_BYTES = 1 << 24;

/** The bytes of a weight, 16 MiB at a time: a weight beside the model is never held as a whole. */
export function* weightBytes(model: Model, name: string, pieceBytes = PIECE_BYTES): Generator<Uint8Array> {
  const init = model.graph.initializers.get(name);
  if (!init || !isExternal(init)) {
    yield toBytes(loadInitializer(model, name));
    return;
  }
  const { location, offset, length } = init.external;
  for (let start = 0; start < length; start += pieceBytes) {
    const n = Math.min(pieceBytes, length - start);
    const external = { location, offset: offset + start, length: n };
    yield toBytes(readExternal({ dtype: 'uint8', dims: [n], external }, placeOf(model), name));
  }
}

/** Whether two weights have the same type, shape and bytes. Types, shapes and places are compared before anything is read. */
export function equalWeights(model: Model, a: string, b: string): boolean {
  const [x, y] = [model.graph.initializers.get(a), model.graph.initializers.get(b)];
  if (!x || !y || x.dtype !== y.dtype || !dimsEqual(x.dims, y.dims)) return false;
  if (isExternal(x) && isExternal(y)) {
    if (x.external.length !== y.external.length) return false;
    if (x.external.location === y.external.location && x.external.offset === y.external.offset) return true;
  }
  const size = sizeBytes(x.dtype, numel(x.dims));
  // Weights that differ do so at once: a first small piece saves reading the rest.
  const piece = Math.min(size, 1 << 16);
  const [left, right] = [weightBytes(model, a, piece), weightBytes(model, b, piece)];
  for (let done = 0; done < size; ) {
    const [p, q] = [left.next().value, right.next().value];
    if (!p || !q) return false;
    // One of the two may be in memory and come as a whole.
    if (p.length !== q.length) return Buffer.compare(whole(p, left), whole(q, right)) === 0;
    if (Buffer.compare(p, q) !== 0) return false;
    done += p.length;
  }
  return true;
}

const whole = (first: Uint8Array, rest: Iterable<Uint8Array>): Buffer => Buffer.concat([first, ...rest]);
