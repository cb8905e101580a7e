import { NorthlightError } from '#models/errors.ts';
import type { Value } from '#models/onnx/builder.ts';
import type { Node } from '#models/onnx/ir.ts';
import { toNumbers } from '#models/tensor/tensor.ts';
import {
  type Bound,
  graphAttribute,
  type Inliner,
  inlineGraph,
  inputsOf,
  type Scope,
  tensorOf,
} from './import-scope.ts';

/**
 * `If` with a condition known while importing (a size, a flag that an exporter left in) as a copy of the branch taken.
 * @throws {NorthlightError} `graph/run-time-condition` when the condition is computed from data.
 */
export function inlineIf(to: Inliner, scope: Scope, node: Node): Bound[] {
  const condition = tensorOf(inputsOf(scope, node)[0]!, `If "${node.name}"`);
  const taken = knownCondition(to, condition);
  if (taken === null) {
    throw new NorthlightError(
      'graph/run-time-condition',
      `If "${node.name}" chooses its branch by "${node.inputs[0]}", which is only known at run time.`,
      'Give every graph input a fixed size; a choice that depends on data cannot be differentiated: export the model without it.',
    );
  }
  const branch = taken ? 'then_branch' : 'else_branch';
  return inlineGraph(to, graphAttribute(node, branch), [], scope, `${scope.prefix}${node.name || 'If'}/`);
}

/** A boolean that is known while importing, or null. */
export function knownCondition(to: Inliner, value: Value): boolean | null {
  const t = to.op.constantOf(value.name);
  return t?.data.length === 1 ? toNumbers(t)[0] !== 0 : null;
}
