import type { Graph, Node } from '#models/onnx/ir.ts';

/** The graphs held by a node's attributes (`If`, `Loop`, `Scan`). */
export function subgraphs(node: Node): Graph[] {
  const found: Graph[] = [];
  for (const attribute of node.attributes.values()) if (attribute.kind === 'graph') found.push(attribute.value);
  return found;
}

/** A graph and every graph nested in it, outermost first. */
export function* allGraphs(graph: Graph): Generator<Graph> {
  yield graph;
  for (const node of graph.nodes) for (const inner of subgraphs(node)) yield* allGraphs(inner);
}

/** Names that a graph reads without defining them: values of the graphs around it. */
export function capturedNames(graph: Graph): Set<string> {
  const own = new Set<string>(graph.initializers.keys());
  for (const input of graph.inputs) own.add(input.name);
  for (const node of graph.nodes) for (const output of node.outputs) own.add(output);
  const captured = new Set<string>();
  const note = (name: string) => {
    if (name !== '' && !own.has(name)) captured.add(name);
  };
  for (const node of graph.nodes) for (const name of readsOf(node)) note(name);
  for (const output of graph.outputs) note(output.name);
  return captured;
}

/** Every value a node needs before it can run: its inputs (omitted ones left out) and what its sub-graphs capture. */
export function readsOf(node: Node): string[] {
  const names = node.inputs.filter((name) => name !== '');
  for (const inner of subgraphs(node)) names.push(...capturedNames(inner));
  return names;
}

/** Value name → the node of this graph that computes it. */
export function producers(graph: Pick<Graph, 'nodes'>): Map<string, Node> {
  const map = new Map<string, Node>();
  for (const node of graph.nodes) for (const output of node.outputs) if (output !== '') map.set(output, node);
  return map;
}

/** Value name → the nodes of this graph that read it, in order, each once. */
export function consumers(graph: Graph): Map<string, Node[]> {
  const map = new Map<string, Node[]>();
  for (const node of graph.nodes) {
    for (const name of new Set(readsOf(node))) {
      const list = map.get(name);
      if (list === undefined) map.set(name, [node]);
      else list.push(node);
    }
  }
  return map;
}

/** The nodes that the named values depend on. */
export function ancestors(graph: Graph, names: Iterable<string>): Set<Node> {
  const producer = producers(graph);
  const found = new Set<Node>();
  const open = [...names];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    const node = producer.get(name);
    if (node === undefined || found.has(node)) continue;
    found.add(node);
    open.push(...readsOf(node));
  }
  return found;
}

/** How a node is called in messages. */
export function describeNode(node: Node): string {
  return node.name === ''
    ? `${node.opType} node making "${node.outputs[0] ?? ''}"`
    : `${node.opType} node "${node.name}"`;
}
