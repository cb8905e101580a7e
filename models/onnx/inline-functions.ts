import { type Attribute, functionKey, type Graph, type LocalFunction, type Model, type Node } from './ir.ts';
import { allGraphs } from './traverse.ts';

/** Copies may come to this many nodes: thirty functions that each call the one before twice would be a billion. */
const MAX_COPIES = 50_000;
const MAX_DEPTH = 32;

/**
 * A model with the calls of its own functions in the main graph written out, sizes and weights untouched; the same model where
 * there are none. Calls stay calls where a copy would mean something else or never end: functions in another version of an
 * operator set than the model, recursive ones, and past 50,000 copied nodes. Equal models give equal copies, names included.
 */
export function inlineFunctions(model: Model): Model {
  const functions = model.functions;
  if (!functions || functions.size === 0) return model;
  const opsets = new Map(model.opsets);
  const used = namesOf(model);
  const fresh = (wanted: string) => {
    let name = wanted;
    for (let i = 1; used.has(name); i++) name = `${wanted}_${i}`;
    used.add(name);
    return name;
  };
  const nodes: Node[] = [];
  const copy = (node: Node, depth: number) => {
    const f = functions.get(functionKey(node, node.opType));
    if (!f || depth >= MAX_DEPTH || nodes.length > MAX_COPIES || !sameVersions(f, opsets)) {
      nodes.push(node);
      return;
    }
    for (const [domain, version] of f.opsets) opsets.set(domain, version);
    for (const inner of bodyOf(f, node, fresh)) copy(inner, depth + 1);
  };
  for (const node of model.graph.nodes) copy(node, 0);
  return { ...model, opsets, graph: { ...model.graph, nodes } };
}

function sameVersions(f: LocalFunction, opsets: ReadonlyMap<string, number>): boolean {
  return [...f.opsets].every(([domain, version]) => (opsets.get(domain) ?? version) === version);
}

/** The nodes of a call under names of their own; the call's outputs keep theirs. */
function bodyOf(f: LocalFunction, call: Node, fresh: (wanted: string) => string): Node[] {
  const prefix = `${call.name || f.name}/`;
  const attributes = new Map([...f.defaults, ...call.attributes]);
  const omitted = new Set(f.inputs.filter((_, i) => (call.inputs[i] ?? '') === ''));
  const names = new Map<string, string>();
  f.inputs.forEach((name, i) => {
    names.set(name, call.inputs[i] ?? '');
  });
  const made = new Set(f.nodes.flatMap((n) => n.outputs));
  const passed: Node[] = [];
  f.outputs.forEach((name, i) => {
    const output = call.outputs[i] ?? '';
    if (output === '') return;
    if (made.has(name) && !names.has(name)) names.set(name, output);
    // An input handed on, or one value as two outputs.
    else {
      passed.push({
        opType: 'Identity',
        domain: '',
        name: fresh(`${prefix}output_${i}`),
        inputs: [name],
        outputs: [output],
        attributes: new Map(),
      });
    }
  });
  for (const name of made) if (name !== '' && !names.has(name)) names.set(name, fresh(joined(prefix, name)));
  return [
    ...f.nodes.map((n) => ({
      ...renamed(withAttributes(n, attributes, omitted), names),
      name: fresh(joined(prefix, n.name || n.opType)),
    })),
    ...passed.map((n) => ({ ...n, inputs: n.inputs.map((name) => names.get(name) ?? name) })),
  ];
}

const joined = (prefix: string, name: string) => prefix + name.replace(/^\//, '');

function renamed(node: Node, names: ReadonlyMap<string, string>): Node {
  const of = (name: string) => names.get(name) ?? name;
  return {
    ...node,
    inputs: node.inputs.map(of),
    outputs: node.outputs.map(of),
    attributes: new Map(
      [...node.attributes].map(([key, a]) => [
        key,
        a.kind === 'graph' ? { kind: 'graph', value: renamedGraph(a.value, names) } : a,
      ]),
    ),
  };
}

/** Within a branch, the names that it defines itself hide those around it. */
function renamedGraph(graph: Graph, names: ReadonlyMap<string, string>): Graph {
  const inner = new Map(names);
  for (const { name } of graph.inputs) inner.delete(name);
  for (const name of graph.initializers.keys()) inner.delete(name);
  for (const node of graph.nodes) for (const name of node.outputs) inner.delete(name);
  return {
    ...graph,
    nodes: graph.nodes.map((n) => renamed(n, inner)),
    outputs: graph.outputs.map((o) => ({ ...o, name: inner.get(o.name) ?? o.name })),
  };
}

function namesOf(model: Model): Set<string> {
  const used = new Set<string>();
  for (const graph of allGraphs(model.graph)) {
    for (const { name } of [...graph.inputs, ...graph.outputs]) used.add(name);
    for (const name of graph.initializers.keys()) used.add(name);
    for (const node of graph.nodes) for (const name of [node.name, ...node.outputs]) used.add(name);
  }
  return used;
}

/** A node of a body with references to the caller's attributes replaced, and inputs that the caller omits omitted. */
export function withAttributes(node: Node, given: ReadonlyMap<string, Attribute>, omitted: ReadonlySet<string>): Node {
  const attributes = new Map<string, Attribute>();
  for (const [name, a] of node.attributes) {
    const value = a.kind === 'reference' ? given.get(a.value) : a;
    if (value)
      attributes.set(
        name,
        value.kind === 'graph' ? { kind: 'graph', value: inGraph(value.value, given, omitted) } : value,
      );
  }
  return { ...node, inputs: node.inputs.map((n) => (omitted.has(n) ? '' : n)), attributes };
}

function inGraph(graph: Graph, given: ReadonlyMap<string, Attribute>, omitted: ReadonlySet<string>): Graph {
  return { ...graph, nodes: graph.nodes.map((n) => withAttributes(n, given, omitted)) };
}
