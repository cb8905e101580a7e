import { NorthlightError } from '#models/errors.ts';
import type { Node } from '#models/onnx/ir.ts';

/**
 * Runs a rule of a node's operator. Rules trust the standard: a node that breaks it (an input or attribute missing, sizes
 * that do not divide) makes them fail in ways that only a person who knows the rule could read.
 * @throws {NorthlightError} `onnx/invalid-node` with the failure as its cause.
 */
export function understood<T>(node: Node, rule: () => T): T {
  try {
    return rule();
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    throw new NorthlightError(
      'onnx/invalid-node',
      `${node.opType} "${node.name}" has inputs or attributes that do not go with its operator or with each other.`,
      'Check the model with the tool that made it, or export it again.',
      { cause: error },
    );
  }
}
