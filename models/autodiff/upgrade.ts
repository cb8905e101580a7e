import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { DATA_TYPE } from '#models/onnx/data-types.ts';
import { type Attribute, int, type Node, str } from '#models/onnx/ir.ts';
import { fromNumbers, toNumbers } from '#models/tensor/tensor.ts';

export const OLDEST_OPSET = 7;
/** The newest whose every change to an operator is accounted for. */
export const NEWEST_OPSET = 26;

const SQUEEZES = new Set(['Squeeze', 'Unsqueeze']);
const FLATTENED = new Set(['Softmax', 'LogSoftmax', 'Hardmax']);
const REDUCTIONS = new Set([
  'ReduceMean',
  'ReduceMax',
  'ReduceMin',
  'ReduceProd',
  'ReduceL1',
  'ReduceL2',
  'ReduceSumSquare',
  'ReduceLogSum',
  'ReduceLogSumExp',
]);

/** A node with its inputs resolved; output names are still the model's own. */
export interface ResolvedNode {
  readonly node: Node;
  readonly inputs: readonly (Value | null)[];
}

/**
 * A node of an older opset as the working opset says it: attributes that became inputs move, Softmax before 13 is
 * flattened to two dimensions, Upsample becomes Resize.
 * @returns the node in its new form, or its outputs when one node became several.
 */
export function upgradeNode(
  op: GraphBuilder,
  node: Node,
  inputs: readonly (Value | null)[],
  opset: number,
): ResolvedNode | Value[] {
  const unchanged: ResolvedNode = { node, inputs };
  if (node.domain !== '' && node.domain !== 'ai.onnx') return unchanged;
  if (opset < OLDEST_OPSET) {
    throw new NorthlightError(
      'onnx/opset',
      `The model is of opset ${opset}; the oldest we read is ${OLDEST_OPSET}.`,
      'Export it again with opset 13 or newer.',
    );
  }
  if (opset > NEWEST_OPSET) {
    throw new NorthlightError(
      'onnx/opset',
      `The model is of opset ${opset}; the newest we differentiate is ${NEWEST_OPSET}.`,
      `Export it again with opset ${NEWEST_OPSET} or older.`,
    );
  }
  const attrs = node.attributes;
  const ints = (name: string) => (attrs.get(name)?.value as readonly number[] | undefined) ?? null;
  const rest = (...drop: string[]) => new Map([...attrs].filter(([k]) => !drop.includes(k)));
  const emit = (
    opType: string,
    ins: readonly (Value | null)[],
    attributes: Map<string, Attribute>,
    outputs = node.outputs.length,
  ): ResolvedNode => {
    const trimmed = ins.slice(0, ins.findLastIndex((v) => v !== null) + 1);
    return {
      node: {
        ...node,
        opType,
        attributes,
        inputs: trimmed.map((v) => v?.name ?? ''),
        outputs: node.outputs.slice(0, outputs),
      },
      inputs: trimmed,
    };
  };

  if (SQUEEZES.has(node.opType) && opset < 13) {
    const axes = ints('axes');
    return emit(node.opType, [inputs[0]!, axes ? op.i64(axes) : null], rest('axes'));
  }
  if ((node.opType === 'ReduceSum' && opset < 13) || (REDUCTIONS.has(node.opType) && opset < 18)) {
    const axes = ints('axes');
    return emit(node.opType, [inputs[0]!, axes ? op.i64(axes) : null], rest('axes'));
  }
  if (node.opType === 'Split' && opset < 13) {
    const sizes = ints('split');
    return emit(
      'Split',
      [inputs[0]!, sizes ? op.i64(sizes) : null],
      sizes ? rest('split') : new Map([...rest('split'), ['num_outputs', int(node.outputs.length)]]),
    );
  }
  if (node.opType === 'Split' && opset < 18 && !inputs[1]) {
    return emit('Split', inputs, new Map([...attrs, ['num_outputs', int(node.outputs.length)]]));
  }
  if (node.opType === 'Slice' && opset < 10) {
    const axes = ints('axes');
    return emit(
      'Slice',
      [inputs[0]!, op.i64(ints('starts')!), op.i64(ints('ends')!), axes ? op.i64(axes) : null],
      new Map(),
    );
  }
  if (node.opType === 'Pad' && opset < 11) {
    const value = (attrs.get('value')?.value as number | undefined) ?? 0;
    return emit('Pad', [inputs[0]!, op.i64(ints('pads')!), op.scalar(value, inputs[0]!.dtype)], rest('pads', 'value'));
  }
  if (node.opType === 'Clip' && opset < 11) {
    const bound = (name: string) =>
      attrs.has(name) ? op.constant(fromNumbers(inputs[0]!.dtype, [], [attrs.get(name)!.value as number])) : null;
    return emit('Clip', [inputs[0]!, bound('min'), bound('max')], new Map());
  }
  if (FLATTENED.has(node.opType) && opset < 13) {
    const x = inputs[0]!;
    const axis = (attrs.get('axis')?.value as number | undefined) ?? 1;
    const a = axis < 0 ? axis + x.dims.length : axis;
    if (a === x.dims.length - 1) return emit(node.opType, [x], new Map([['axis', int(-1)]]));
    const rows = x.dims.slice(0, a).reduce((p, d) => p * d, 1);
    const flat = op.reshape(x, [rows, x.dims.slice(a).reduce((p, d) => p * d, 1)]);
    return [op.reshape(op.apply(node.opType, [flat], { axis: -1 }), x.dims)];
  }
  if (node.opType === 'Upsample' || (node.opType === 'Resize' && opset < 11)) {
    const scales =
      inputs[1] ??
      op.constant(
        fromNumbers(
          'float32',
          [inputs[0]!.dims.length],
          [...((attrs.get('scales')?.value as number[] | undefined) ?? [])],
        ),
      );
    const mode = (attrs.get('mode')?.value as string | undefined) ?? 'nearest';
    const known = op.constantOf(scales.name);
    const factors = known ? toNumbers(known) : [];
    const shrinks = factors.some((f) => f < 1);
    if (mode === 'nearest' && shrinks && factors.some((f) => f > 1)) {
      throw new NorthlightError(
        'onnx/unsupported',
        `${node.opType} "${node.name}" (opset ${opset}) enlarges one axis and shrinks another by nearest neighbour.`,
        'Export the model again with opset 11 or newer.',
      );
    }
    const attributes = new Map<string, Attribute>([
      ['mode', str(mode)],
      ['coordinate_transformation_mode', str('asymmetric')],
      // The old text does not say which neighbour; the runtime rounds down to enlarge and up to shrink.
      ['nearest_mode', str(shrinks ? 'ceil' : 'floor')],
    ]);
    return emit('Resize', [inputs[0]!, null, scales], attributes);
  }
  if (node.opType === 'TopK' && opset < 10)
    return emit('TopK', [inputs[0]!, op.i64([attrs.get('k')!.value as number])], rest('k'));
  if (node.opType === 'DFT' && opset < 20) {
    const axis = (attrs.get('axis')?.value as number | undefined) ?? 1;
    return emit('DFT', [inputs[0]!, inputs[1] ?? null, op.scalar(axis, 'int64')], rest('axis'));
  }
  // The type to cast to is known, so that constants (exporters write many) can be folded.
  if (node.opType === 'CastLike')
    return emit('Cast', [inputs[0]!], new Map([['to', int(DATA_TYPE[inputs[1]!.dtype])]]));
  if (node.opType === 'Scatter') return emit('ScatterElements', inputs, attrs);
  if (node.opType === 'GridSample' && opset < 20) {
    const mode = (attrs.get('mode')?.value as string | undefined) ?? 'bilinear';
    const renamed: Readonly<Record<string, string>> = { bilinear: 'linear', bicubic: 'cubic' };
    return emit('GridSample', inputs, new Map([...rest('mode'), ['mode', str(renamed[mode] ?? mode)]]));
  }
  if (node.opType === 'Dropout' && opset < 12) return emit('Dropout', [inputs[0]!], new Map());
  if (node.opType === 'BatchNormalization' && opset < 14) return emit('BatchNormalization', inputs, rest('spatial'), 1);
  if (node.opType === 'GroupNormalization' && opset < 21) {
    const channels = inputs[0]!.dims[1]!;
    const wide = (v: Value) =>
      op.reshape(op.expand(op.reshape(v, [v.dims[0]!, 1]), [v.dims[0]!, channels / v.dims[0]!]), [channels]);
    return emit('GroupNormalization', [inputs[0]!, wide(inputs[1]!), wide(inputs[2]!)], attrs);
  }
  return unchanged;
}
