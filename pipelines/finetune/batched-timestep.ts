import type { ImportOptions } from '#models/autodiff/import-graph.ts';
import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import type { ValueInfo } from '#models/onnx/ir.ts';

/** What carries a number on in another type or rank. */
const CARRIES = new Set(['Cast', 'Identity', 'Reshape', 'Squeeze', 'Unsqueeze']);

export interface BatchedTimestep {
  /** What the network's timestep input is given. */
  readonly given: Value;
  /** For the import of the network; absent where nothing needs to be rewritten. */
  readonly rewrite?: ImportOptions['rewrite'];
  /** To be called after the import. @throws {NorthlightError} `tune/one-timestep` when the rows did not get their own. */
  check(): void;
}

/**
 * A timestep of its own for every row, also where the export takes one number for all: such a network expands the number to
 * the batch, and what it gets by that is replaced by the rows'.
 * @param rows `[R]`, in the type of the declared input.
 */
export function batchedTimestep(op: GraphBuilder, declared: ValueInfo, rows: Value): BatchedTimestep {
  if (declared.dims === null || declared.dims.length > 0) return { given: rows, check: () => {} };
  // A number that is not known while building, so that the expansion is not folded away; made without constants, whose
  // names could be those of the network's weights.
  const scalar = op.apply('ReduceMax', [rows], { keepdims: 0 });
  const isScalar = (name: string): boolean => {
    if (name === scalar.name) return true;
    const maker = op.nodes.find((n) => n.outputs.includes(name));
    return maker !== undefined && CARRIES.has(maker.opType) && isScalar(maker.inputs[0]!);
  };
  let expanded = false;
  return {
    given: scalar,
    rewrite: (_, node, [from, to]) => {
      if (node.opType !== 'Expand' || !from || !to || from.dims.some((d) => d !== 1) || !isScalar(from.name))
        return null;
      const shape = op.constantOf(to.name)?.data as BigInt64Array | undefined;
      if (shape?.length !== 1 || Number(shape[0]) !== rows.dims[0]) return null;
      expanded = true;
      return [op.cast(rows, from.dtype)];
    },
    check() {
      if (expanded) return;
      throw new NorthlightError(
        'tune/one-timestep',
        'The denoiser was exported with one timestep for all samples of a batch, so it cannot learn from several steps at once.',
        'Export the model again with a timestep per sample.',
      );
    },
  };
}
