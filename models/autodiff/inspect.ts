import { type PlainError, toPlainError } from '#models/errors.ts';
import type { GraphBuilder } from '#models/onnx/builder.ts';
import { dtypeOf } from '#models/onnx/data-types.ts';
import { type Dim, functionKey, isExternal, type Model, type Node } from '#models/onnx/ir.ts';
import { readsOf, subgraphs } from '#models/onnx/traverse.ts';
import { refusedHint } from '#models/ops/contrib/refused.ts';
import { createBuilder, operatorKey, operators } from '#models/ops/index.ts';
import { isFloat } from '#models/tensor/tensor.ts';
import { productFlops } from './flops.ts';
import { type Flow, type FlowNode, gradientReach, pathToOutput, type Reach } from './flow.ts';
import { addGradients } from './grad.ts';
import { type ImportedGraph, importGraph } from './import-graph.ts';

/** What becomes of the gradient of a weight or input: it can be had, a node refuses it, it ends on the way, nothing reads it. */
export type GradientState = 'yes' | 'refused' | 'ends' | 'unused';

export interface SourceReport {
  readonly name: string;
  readonly dtype: string;
  readonly dims: readonly Dim[];
  readonly state: GradientState;
  /** Outputs whose gradient reaches it, refused or not. */
  readonly outputs: readonly string[];
  /** Nodes that refuse its gradient, or that it ends at. */
  readonly at: readonly string[];
}

/** A node that no gradient can pass. */
export interface Blocker {
  readonly operator: string;
  readonly node: string;
  /** Nodes from it to the output, as `Op "name"`. */
  readonly path: readonly string[];
  readonly output: string;
  /** What lies before it and therefore has no gradient. */
  readonly weights: number;
  readonly inputs: readonly string[];
  readonly message: string;
  readonly hint: string;
}

export interface OperatorReport {
  readonly operator: string;
  readonly count: number;
  /** `written out`: replaced while the model is read (branches, loops, lists, the model's own functions). */
  readonly gradient: 'rule' | 'decomposed' | 'written out' | 'none flows' | 'refused' | 'unknown';
}

/** One forward pass with fixed sizes, as a training graph has it. */
export interface ForwardCost {
  readonly nodes: number;
  /** Multiplications and additions of its products and convolutions. */
  readonly flops: number;
}

export interface GraphInspection {
  readonly operators: readonly OperatorReport[];
  readonly inputs: readonly SourceReport[];
  /** Floating-point initialisers that are weights; constants an operator wants to know (scales of a Resize) are none. */
  readonly weights: readonly SourceReport[];
  readonly blockers: readonly Blocker[];
  /** Sizes that everything below is for, and whether each was given, fixed in the file, or guessed. */
  readonly sizes: readonly {
    readonly input: string;
    readonly dims: readonly number[];
    readonly from: 'given' | 'file' | 'guess';
  }[];
  /** Null when the graph could not be read with these sizes: see `failure`. */
  readonly forward: ForwardCost | null;
  /** Why sizes or the gradient could not be worked out. */
  readonly failure: PlainError | null;
}

/** Operators that the importer carries out or replaces, which therefore have no entry among the operators. */
const WRITTEN_OUT = new Set([
  ...['If', 'Loop', 'Scan', 'SequenceMap', 'SequenceEmpty', 'SequenceConstruct', 'SequenceLength', 'SequenceAt'],
  ...['SequenceErase', 'SequenceInsert', 'SplitToSequence', 'ConcatFromSequence'],
  ...['Optional', 'OptionalGetElement', 'OptionalHasElement'],
  ...['Upsample', 'Scatter', 'Constant', 'Identity', 'Dropout', 'Shape', 'Size'],
]);

/** Operands that an operator must know and that are never trained, by position. */
const KNOWN_OPERANDS: Readonly<Record<string, readonly number[]>> = {
  Resize: [1, 2, 3],
  Upsample: [1],
  Clip: [1, 2],
  Pad: [1, 2],
  Dropout: [1],
  OneHot: [1, 2],
  Range: [0, 1, 2],
  QuantizeLinear: [1, 2],
  DequantizeLinear: [1, 2],
};

/**
 * Says what in a model can be differentiated and what stands in the way, without running it and without reading weights that
 * live beside it. With sizes that work, everything is as a training graph would have it; else the file's own nodes are followed.
 * @param given sizes of inputs by name; others are taken from the file, and free ones guessed.
 */
export function inspectGraph(model: Model, given: Readonly<Record<string, readonly number[]>> = {}): GraphInspection {
  const sizes = chooseSizes(model, given);
  const weightNames = weightsOf(model);
  let imported: { op: GraphBuilder; graph: ImportedGraph } | null = null;
  let failure: PlainError | null = null;
  try {
    imported = importWith(model, sizes, weightNames);
  } catch (error) {
    failure = toPlainError(error);
    const guessed = sizes.filter((s) => s.from === 'guess');
    if (guessed.length > 0 && /shape|size|fold|axis|broadcast/.test(`${failure.code} ${failure.message}`)) {
      failure = {
        ...failure,
        hint: `Sizes were guessed (${guessed.map((g) => `${g.input}=${g.dims.join('x')}`).join(', ')}); give the right ones.`,
      };
    }
  }
  const nodes = imported ? importedFlow(imported.op) : fileFlow(model);
  const nameOf = (name: string) =>
    (imported?.graph.weights.get(name) ?? imported?.graph.inputs.get(name))?.name ?? name;
  const outputs = model.graph.outputs.map((o) => ({
    name: imported?.graph.outputs.get(o.name)?.name ?? o.name,
    differentiable: isFloat(o.dtype),
  }));
  const reach = gradientReach(nodes, outputs);
  const outputNames = model.graph.outputs.map((o) => o.name);
  const source = (name: string, dtype: string, dims: readonly Dim[]): SourceReport & { reach: Reach } => {
    const found = reach(nameOf(name));
    const state = stateOf(found);
    const stops = state === 'refused' ? found.refused : state === 'ends' ? found.ends : [];
    const at = stops.map(label);
    return { name, dtype, dims, state, outputs: found.outputs.map((i) => outputNames[i]!), at, reach: found };
  };
  const inputs = model.graph.inputs
    .filter((i) => !model.graph.initializers.has(i.name) && isFloat(i.dtype))
    .map((i) => source(i.name, i.dtype, i.dims ?? []));
  const weights = weightNames.map((name) => {
    const init = model.graph.initializers.get(name)!;
    return source(name, init.dtype, init.dims);
  });
  const goals = new Set(outputs.filter((o) => o.differentiable).map((o) => o.name));
  const refused = new Map<FlowNode, { weights: number; inputs: string[] }>();
  const noted = (node: FlowNode) => {
    const entry = refused.get(node) ?? { weights: 0, inputs: [] };
    refused.set(node, entry);
    return entry;
  };
  for (const w of weights) for (const node of w.reach.refused) noted(node).weights++;
  for (const i of inputs) for (const node of i.reach.refused) noted(node).inputs.push(i.name);
  const blockers = [...refused].map(([node, before]): Blocker => {
    const way = pathToOutput(nodes, node, goals);
    const reason = reasonOf(node, model);
    const at = outputs.findIndex((o) => o.name === way?.output);
    return {
      operator: operatorKey(node.domain, node.opType),
      node: node.name,
      path: (way?.nodes ?? []).map(label),
      output: outputNames[at] ?? '',
      ...before,
      ...reason,
    };
  });
  let forward: ForwardCost | null = null;
  if (imported) {
    const { op, graph } = imported;
    const flops = op.nodes.reduce((sum, n) => sum + productFlops(n, (name) => op.values.get(name)), 0);
    forward = { nodes: op.nodes.length, flops };
    if (blockers.length === 0) failure = tryGradients(op, graph, [...weights, ...inputs]);
  }
  const plain = ({ reach: _reach, ...report }: SourceReport & { reach: Reach }): SourceReport => report;
  return {
    operators: countOperators(model),
    inputs: inputs.map(plain),
    weights: weights.map(plain),
    blockers,
    sizes,
    forward,
    failure,
  };
}

function stateOf(reach: Reach): GradientState {
  if (reach.outputs.length > 0) return reach.refused.length > 0 ? 'refused' : 'yes';
  return reach.used ? 'ends' : 'unused';
}

const label = (node: Pick<FlowNode, 'opType' | 'name' | 'outputs'>) =>
  `${node.opType} "${node.name || node.outputs[0] || ''}"`;

/** Floating-point initialisers, less the constants that operators want to know. */
function weightsOf(model: Model): string[] {
  const known = new Set<string>();
  const other = new Set<string>();
  for (const node of model.graph.nodes) {
    const places = KNOWN_OPERANDS[node.opType] ?? [];
    for (const [i, name] of node.inputs.entries()) (places.includes(i) ? known : other).add(name);
  }
  return [...model.graph.initializers]
    .filter(([name, t]) => isFloat(t.dtype) && t.dims.length >= 1 && (!known.has(name) || other.has(name)))
    .filter(([, t]) => isExternal(t) || t.data.length > 0)
    .map(([name]) => name);
}

/**
 * The graph as a training graph would have it, weights out of reach of folding. Some files compute sizes from floats kept as
 * weights: then small ones stay known.
 */
function importWith(model: Model, sizes: GraphInspection['sizes'], weights: readonly string[]) {
  const inputs = Object.fromEntries(sizes.map((s) => [s.input, s.dims]));
  const attempt = (opaque: ReadonlySet<string>) => {
    const op = createBuilder();
    const graph = importGraph(op, model, { inputs, role: (name) => (opaque.has(name) ? 'opaque' : 'frozen') });
    return { op, graph };
  };
  try {
    return attempt(new Set(weights));
  } catch {
    const large = weights.filter((name) => model.graph.initializers.get(name)!.dims.reduce((p, d) => p * d, 1) > 64);
    return attempt(new Set(large));
  }
}

/** Builds the gradients of all that has one; the rules themselves may still refuse an attribute. */
function tryGradients(op: GraphBuilder, graph: ImportedGraph, sources: readonly SourceReport[]): PlainError | null {
  const wrt = sources
    .filter((s) => s.state === 'yes')
    .flatMap((s) => graph.weights.get(s.name) ?? graph.inputs.get(s.name) ?? []);
  const seeds = [...graph.outputs.values()]
    .filter((v) => isFloat(v.dtype))
    .map((value, i) => ({ value, cotangent: op.input(op.fresh(`cotangent/${i}`), value.dtype, value.dims) }));
  try {
    addGradients(op, seeds, wrt);
    return null;
  } catch (error) {
    return toPlainError(error);
  }
}

function importedFlow(op: GraphBuilder): FlowNode[] {
  return op.nodes.map((node) => {
    const definition = operators.get(operatorKey(node.domain, node.opType));
    const float = node.outputs.some((name) => name !== '' && isFloat(op.value(name).dtype));
    const rule = definition?.grad;
    // A node without a rule refuses, whatever it makes: a quantised activation is an integer that stands for a number.
    const flow: Flow = rule === undefined ? 'refused' : rule !== 'none' && float ? 'through' : 'ends';
    return { ...node, inputs: readsOf(node), flow };
  });
}

function fileFlow(model: Model): FlowNode[] {
  return model.graph.nodes.map((node) => ({ ...node, inputs: readsOf(node), flow: flowOf(node, model) }));
}

function flowOf(node: Node, model: Model): Flow {
  if (unknownInside(node, model)) return 'refused';
  const kind = kindOf(node, model);
  if (kind === 'none flows') return 'ends';
  if (kind === 'unknown' || kind === 'refused') return 'refused';
  const to = node.opType === 'Cast' ? node.attributes.get('to') : undefined;
  return to?.kind === 'int' && !isFloat(dtypeOf(to.value) ?? 'int64') ? 'ends' : 'through';
}

/** The first operator inside a body (branch, loop, function) that is not known. */
function unknownInside(node: Node, model: Model, depth = 0): Node | undefined {
  if (depth > 16) return undefined;
  const bodies = [...subgraphs(node).map((g) => g.nodes)];
  const called = model.functions?.get(functionKey(node, node.opType));
  if (called) bodies.push(called.nodes);
  for (const inner of bodies.flat()) {
    const kind = kindOf(inner, model);
    if (kind === 'unknown' || kind === 'refused') return inner;
    const deeper = unknownInside(inner, model, depth + 1);
    if (deeper) return deeper;
  }
  return undefined;
}

function kindOf(node: Node, model: Model): OperatorReport['gradient'] {
  if (model.functions?.has(functionKey(node, node.opType))) return 'written out';
  const definition = operators.get(operatorKey(node.domain, node.opType));
  if (!definition) return node.domain === '' && WRITTEN_OUT.has(node.opType) ? 'written out' : 'unknown';
  if (definition.decompose) return 'decomposed';
  if (definition.grad === 'none') return 'none flows';
  if (definition.grad) return 'rule';
  return WRITTEN_OUT.has(node.opType) ? 'written out' : 'refused';
}

function countOperators(model: Model): OperatorReport[] {
  const counts = new Map<string, { count: number; gradient: OperatorReport['gradient'] }>();
  const count = (nodes: readonly Node[]) => {
    for (const node of nodes) {
      const operator = operatorKey(node.domain, node.opType);
      const entry = counts.get(operator);
      if (entry) entry.count++;
      else counts.set(operator, { count: 1, gradient: kindOf(node, model) });
      for (const inner of subgraphs(node)) count(inner.nodes);
    }
  };
  count(model.graph.nodes);
  for (const f of model.functions?.values() ?? []) count(f.nodes);
  return [...counts]
    .map(([operator, rest]) => ({ operator, ...rest }))
    .sort((a, b) => b.count - a.count || (a.operator < b.operator ? -1 : 1));
}

/** Why a node refuses, and what to do about it. */
function reasonOf(node: FlowNode, model: Model): { message: string; hint: string } {
  const full = model.graph.nodes.find((n) => n.name === node.name && n.opType === node.opType);
  const inner = full ? unknownInside(full, model) : undefined;
  const culprit = inner ?? node;
  const name = operatorKey(culprit.domain, culprit.opType);
  const where = inner ? `${name} inside ${label(node)}` : `${name} at node "${node.name}"`;
  const known = operators.has(name);
  const message = known ? `No gradient goes through ${where}.` : `${where} is not known.`;
  const freeze = 'Train only what comes after it';
  const special = refusedHint(culprit.domain, culprit.opType);
  if (special) return { message, hint: special };
  if (culprit.domain === 'com.microsoft')
    return { message, hint: `${freeze}, or export the model without fusing operators (optimisation level basic).` };
  if (culprit.domain !== '')
    return { message, hint: `${freeze}, or export the model without the operators of "${culprit.domain}".` };
  return { message, hint: `${freeze}, export it with other operators, or add a rule in models/ops/.` };
}

/** The way from a node of the file to an output, as a sentence; empty when there is none. `node` is its name or first output. */
export function wayToOutput(model: Model, node: string): string {
  const nodes = fileFlow(model);
  const from = nodes.find((n) => n.name === node) ?? nodes.find((n) => n.outputs[0] === node);
  const way = from && pathToOutput(nodes, from, new Set(model.graph.outputs.map((o) => o.name)));
  if (!way) return '';
  const labels = way.nodes.map(label);
  const shown = labels.length > 4 ? [...labels.slice(0, 2), '…', ...labels.slice(-2)] : labels;
  return `It is on the path ${[label(from), ...shown, `output "${way.output}"`].join(' → ')}.`;
}

const BATCH = /batch|^n$|^b$/i;
const SPATIAL = /height|width|^h$|^w$/i;
const LENGTH = /seq|len|token|text/i;

/** A size for each input: given, fixed in the file, or guessed from names and from what the first reader's weight wants. */
export function chooseSizes(
  model: Model,
  given: Readonly<Record<string, readonly number[]>>,
): { input: string; dims: readonly number[]; from: 'given' | 'file' | 'guess' }[] {
  const { graph } = model;
  return graph.inputs
    .filter((i) => !graph.initializers.has(i.name))
    .map(({ name, dims }) => {
      const own = given[name];
      if (own) return { input: name, dims: own, from: 'given' as const };
      const guessed = (dims ?? []).map((dim, axis) => {
        if (typeof dim === 'number') return dim;
        const wanted = wantedBy(model, name, axis, dims!.length);
        if (wanted !== undefined) return wanted;
        const text = dim ?? '';
        if (BATCH.test(text) || axis === 0) return 1;
        if (SPATIAL.test(text) || (dims!.length === 4 && axis >= 2)) return 64;
        return LENGTH.test(text) ? 77 : 8;
      });
      const free = dims?.every((d) => typeof d === 'number') ? 'file' : 'guess';
      return { input: name, dims: guessed, from: free as 'file' | 'guess' };
    });
}

/** What a convolution or product that reads an input needs there. */
function wantedBy(model: Model, input: string, axis: number, rank: number): number | undefined {
  for (const node of model.graph.nodes) {
    if (node.inputs[0] !== input) continue;
    const weight = model.graph.initializers.get(node.inputs[1] ?? '');
    if (!weight) continue;
    const group = node.attributes.get('group');
    if (node.opType === 'Conv' && axis === 1) return weight.dims[1]! * (group?.kind === 'int' ? group.value : 1);
    if (node.opType === 'MatMul' && axis === rank - 1) return weight.dims[0];
    if (node.opType === 'Gemm' && axis === rank - 1)
      return node.attributes.get('transB')?.value === 1 ? weight.dims[1] : weight.dims[0];
  }
  return undefined;
}
