import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import type { Attribute, Graph, LocalFunction, Node } from '#models/onnx/ir.ts';
import type { Compute } from './precision.ts';

/** A list of tensors whose length is known while importing. */
export interface Sequence {
  readonly sequence: readonly Value[];
}

/** What a name of the imported model stands for. */
export type Bound = Value | Sequence;

export const isSequence = (b: Bound): b is Sequence => 'sequence' in b;

/** The names that one graph, branch, iteration or function call sees. */
export interface Scope {
  readonly names: Map<string, Bound>;
  /** The graph around it, whose names are visible too; null for the main graph and for functions. */
  readonly outer: Scope | null;
  /** Put before every name made here. */
  readonly prefix: string;
  readonly opsets: ReadonlyMap<string, number>;
  /** How many calls of functions it is inside of. */
  readonly calls: number;
}

/** What the importer hands to the parts that copy a graph within a graph. */
export interface Inliner {
  readonly op: GraphBuilder;
  readonly compute: Compute;
  readonly functions: ReadonlyMap<string, LocalFunction>;
  /** Copies the nodes into the graph under construction, with the names of the scope. */
  nodes(nodes: readonly Node[], scope: Scope): void;
  /** Appends one node of the working opset, or computes it when its inputs are known. */
  apply(
    opType: string,
    inputs: readonly (Value | null)[],
    attributes: Readonly<Record<string, Attribute>>,
    outputs: number,
    name: string,
  ): Value[];
  /** The weights of a branch or loop body, declared once however often it is copied. */
  weights(graph: Graph, prefix: string): ReadonlyMap<string, Value>;
  /** Counts one node or iteration. @throws {NorthlightError} `graph/too-long` when the copies grow past every use. */
  spend(what: Node): void;
}

/** @throws {NorthlightError} `onnx/dangling` for a name that nothing defines. */
export function lookUp(scope: Scope, name: string, reader: string): Bound {
  for (let s: Scope | null = scope; s; s = s.outer) {
    const found = s.names.get(name);
    if (found) return found;
  }
  throw new NorthlightError('onnx/dangling', `${reader} reads "${name}", which nothing makes.`);
}

/** The inputs of a node, null where one is omitted. */
export function inputsOf(scope: Scope, node: Node): (Bound | null)[] {
  return node.inputs.map((n) => (n === '' ? null : lookUp(scope, n, `Node "${node.name}" (${node.opType})`)));
}

/** @throws {NorthlightError} `graph/sequence` when it is a list of tensors. */
export function tensorOf(bound: Bound, reader: string): Value {
  if (!isSequence(bound)) return bound;
  throw new NorthlightError(
    'graph/sequence',
    `${reader} takes a list of tensors, where only single tensors can be differentiated.`,
    'Export the model with separate tensors in place of lists.',
  );
}

/** A copy of a graph's body: its inputs bound to `inputs` in order. @returns its outputs. */
export function inlineGraph(
  to: Inliner,
  graph: Graph,
  inputs: readonly Bound[],
  outer: Scope,
  prefix: string,
  weightsPrefix = prefix,
): Bound[] {
  const names = new Map<string, Bound>(to.weights(graph, weightsPrefix));
  graph.inputs.forEach((info, i) => {
    if (inputs[i]) names.set(info.name, inputs[i]);
  });
  const scope: Scope = { names, outer, prefix, opsets: outer.opsets, calls: outer.calls };
  to.nodes(graph.nodes, scope);
  return graph.outputs.map((o) => lookUp(scope, o.name, `An output of "${graph.name}"`));
}

/** The body in a node's attribute. @throws {NorthlightError} `onnx/attribute` when it is not there. */
export function graphAttribute(node: Node, name: string): Graph {
  const a = node.attributes.get(name);
  if (a?.kind === 'graph') return a.value;
  throw new NorthlightError('onnx/attribute', `${node.opType} "${node.name}" lacks the graph "${name}".`);
}
