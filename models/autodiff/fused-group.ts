import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import type { Node } from '#models/onnx/ir.ts';

/** The gradients that a group of nodes gives to its inputs, from the gradient of its last node's output. */
export type FusedGrad = (op: GraphBuilder, dy: Value) => readonly (readonly [input: Value, gradient: Value])[];

/** Groups by their last node. The other members get no gradient from the group, so they are passed over. */
export type FusedGroups = Map<Node, FusedGrad>;
