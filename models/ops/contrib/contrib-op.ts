import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, TypedShape, Value } from '#models/onnx/builder.ts';
import { defineOp, type InferContext, type OpDefinition } from '#models/ops/define.ts';

/** What a decomposition sees: the node, its inputs and the graph under construction. */
export interface Decompose extends InferContext {
  readonly op: GraphBuilder;
}

/**
 * An operator of ONNX Runtime's own that is written in standard operators before differentiation. The meaning is that of
 * the runtime's kernels (version 1.30), which its `ContribOperators.md` documents.
 */
export function contribOp(definition: {
  readonly opType: string;
  /** Default: `com.microsoft`. */
  readonly domain?: string;
  readonly infer: (c: InferContext) => readonly TypedShape[];
  readonly decompose: (c: Decompose) => readonly Value[];
}): OpDefinition {
  return defineOp({
    domain: 'com.microsoft',
    sinceVersion: 1,
    ...definition,
    decompose: (c) => definition.decompose({ ...c, x: (i) => c.inputs[i] ?? missing(c, i) }),
  });
}

function missing(c: InferContext, i: number): never {
  throw new NorthlightError('onnx/missing-input', `${c.node.opType} "${c.node.name}" lacks its input ${i}.`);
}

/** The output has the first input's type and shape. */
export const sameAsInput = ({ x }: InferContext): TypedShape[] => [{ dtype: x(0).dtype, dims: x(0).dims }];

/** Whether somebody may read output `i`. */
export const wants = (c: InferContext, i: number): boolean => (c.node.outputs[i] ?? '') !== '';

/** @throws {NorthlightError} `onnx/unsupported`, always: the operator is known, this use of it is not. */
export function refuse(c: InferContext, what: string, hint: string): never {
  throw new NorthlightError(
    'onnx/unsupported',
    `${c.node.opType} "${c.node.name}" ${what}, which cannot be written in standard operators.`,
    hint,
  );
}

/** Refuses an input that is given. */
export function refuseInput(c: InferContext, i: number, name: string, hint: string): void {
  if (c.inputs[i]) refuse(c, `has the input ${name} ("${c.node.inputs[i]}")`, hint);
}

/** Refuses an attribute that is set to something other than `allowed`. */
export function refuseAttribute(c: InferContext, name: string, allowed: number, hint: string): void {
  const value = c.node.attributes.get(name)?.value;
  if (value !== undefined && value !== allowed) refuse(c, `has the attribute ${name} = ${String(value)}`, hint);
}

/** A list of floats; empty when the attribute is absent. */
export function floatList(c: InferContext, name: string): readonly number[] {
  const a = c.node.attributes.get(name);
  return a?.kind === 'floats' ? a.value : [];
}

/** @throws {NorthlightError} `onnx/shape` saying what a size should be. */
export function badShape(c: InferContext, what: string): never {
  throw new NorthlightError('onnx/shape', `${c.node.opType} "${c.node.name}": ${what}.`);
}
