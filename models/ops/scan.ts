import { NorthlightError } from '#models/errors.ts';
import { defineOp } from './define.ts';

/**
 * ONNX `Scan`, as derived graphs use it: one pass forward over the first axis of every scan input. It has no gradient: what
 * we write as a Scan is itself a gradient.
 */
export const scan = defineOp({
  opType: 'Scan',
  sinceVersion: 11,
  infer: ({ node, attrs, inputs }) => {
    const body = node.attributes.get('body');
    const states = node.inputs.length - attrs.int('num_scan_inputs');
    const turns = inputs[states]?.dims[0];
    if (body?.kind !== 'graph' || turns === undefined)
      throw new NorthlightError('onnx/attribute', `Scan "${node.name}" has no body or nothing to go over.`);
    return body.value.outputs.map((o, i) => {
      const dims = (o.dims ?? []).map(Number);
      return { dtype: o.dtype, dims: i < states ? dims : [turns, ...dims] };
    });
  },
});
