import { NorthlightError } from '#models/errors.ts';
import { type Graph, isExternal, type LocalFunction, type Model, type Node, type ValueInfo } from '#models/onnx/ir.ts';
import { describeNode, producers, readsOf, subgraphs } from '#models/onnx/traverse.ts';
import { numel } from '#models/tensor/tensor.ts';

/**
 * Checks what the rest of the code relies on: every value is defined exactly once and before it is read, every output
 * exists, every domain has a version, every weight fits its shape.
 * @throws NorthlightError `onnx/cycle`, `onnx/order`, `onnx/dangling`, `onnx/duplicate`, `onnx/opset`, `onnx/no-op-type`, `onnx/tensor-size`.
 */
export function checkModel(model: Model): void {
  checkGraph(model.graph, model.opsets, new Set());
  for (const f of model.functions?.values() ?? []) {
    try {
      checkGraph(bodyOf(f), f.opsets, new Set());
    } catch (error) {
      if (!(error instanceof NorthlightError)) throw error;
      throw new NorthlightError(error.code, `In the function "${f.name}": ${error.message}`, error.hint, {
        cause: error,
      });
    }
  }
}

/** A function as the graph it stands for; the types of its values are those of the call. */
function bodyOf(f: LocalFunction): Graph {
  const untyped = (name: string): ValueInfo => ({ name, dtype: 'float32', dims: null });
  const [inputs, outputs] = [f.inputs.map(untyped), f.outputs.map(untyped)];
  return { name: f.name, nodes: f.nodes, inputs, outputs, initializers: new Map(), valueInfo: new Map() };
}

/**
 * The nodes in an order in which each comes after what it reads; nodes already in such an order keep it.
 * Values that no node of this graph makes are taken as given.
 * @throws NorthlightError `onnx/cycle`.
 */
export function topologicalSort(graph: Pick<Graph, 'nodes'>): Node[] {
  const producer = producers(graph);
  const state = new Map<Node, 'open' | 'done'>();
  const sorted: Node[] = [];
  for (const root of graph.nodes) {
    if (state.has(root)) continue;
    // Depth first with an explicit stack: real graphs are thousands of nodes deep.
    const stack = [{ node: root, reads: readsOf(root), next: 0 }];
    state.set(root, 'open');
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      if (top.next === top.reads.length) {
        state.set(top.node, 'done');
        sorted.push(top.node);
        stack.pop();
        continue;
      }
      const before = producer.get(top.reads[top.next++]!);
      if (before === undefined) continue;
      const known = state.get(before);
      if (known === 'open') {
        const loop = stack
          .slice(stack.findIndex((entry) => entry.node === before))
          .map((entry) => describeNode(entry.node));
        const shown = loop.length > 6 ? [...loop.slice(0, 6), `${loop.length - 6} more`] : loop;
        throw new NorthlightError(
          'onnx/cycle',
          `These nodes wait for each other: ${shown.join(' ← ')}.`,
          'Export the model again.',
        );
      }
      if (known === undefined) {
        state.set(before, 'open');
        stack.push({ node: before, reads: readsOf(before), next: 0 });
      }
    }
  }
  return sorted;
}

function checkGraph(graph: Graph, opsets: ReadonlyMap<string, number>, outer: ReadonlySet<string>): void {
  const defined = new Set<string>();
  const define = (name: string, what: string) => {
    if (defined.has(name)) {
      throw new NorthlightError(
        'onnx/duplicate',
        `"${name}" is defined twice; the second time as ${what}.`,
        'Export the model again.',
      );
    }
    defined.add(name);
  };
  for (const input of graph.inputs) define(input.name, 'a graph input');
  const inputs = new Set(defined);
  for (const [name, init] of graph.initializers) {
    if (name === '') throw new NorthlightError('onnx/duplicate', 'A weight has no name.', 'Export the model again.');
    // A weight with the name of an input is that input's default value.
    if (!inputs.has(name)) define(name, 'a weight');
    if (!isExternal(init) && init.data.length !== numel(init.dims)) {
      throw new NorthlightError(
        'onnx/tensor-size',
        `The weight "${name}" has ${init.data.length} elements for shape [${init.dims.join(', ')}].`,
        'Export the model again.',
      );
    }
  }
  const made = producers(graph);
  for (const node of graph.nodes) {
    if (node.opType === '')
      throw new NorthlightError(
        'onnx/no-op-type',
        `A node "${node.name}" names no operator.`,
        'Export the model again.',
      );
    if (!opsets.has(node.domain)) {
      throw new NorthlightError(
        'onnx/opset',
        `The ${describeNode(node)} is from the domain "${node.domain}", of which the model gives no version.`,
        'Export the model again with an opset import for that domain.',
      );
    }
    for (const name of readsOf(node)) {
      if (defined.has(name) || outer.has(name)) continue;
      if (made.has(name)) {
        topologicalSort(graph); // throws when it is a cycle
        throw new NorthlightError(
          'onnx/order',
          `The ${describeNode(node)} reads "${name}" before it is made.`,
          'Sort the nodes first.',
        );
      }
      throw dangling(`The ${describeNode(node)} reads "${name}"`);
    }
    const nested = subgraphs(node);
    if (nested.length > 0) {
      const visible = new Set([...outer, ...defined]);
      for (const inner of nested) checkGraph(inner, opsets, visible);
    }
    for (const output of node.outputs) if (output !== '') define(output, `an output of the ${describeNode(node)}`);
  }
  for (const output of graph.outputs) {
    if (!defined.has(output.name) && !outer.has(output.name)) throw dangling(`The graph gives out "${output.name}"`);
  }
}

function dangling(what: string): NorthlightError {
  return new NorthlightError('onnx/dangling', `${what}, which nothing defines.`, 'Export the model again.');
}
