import { NorthlightError } from '#models/errors.ts';
import type { Graph, Model, Node } from '#models/onnx/ir.ts';
import { ancestors, producers, readsOf } from '#models/onnx/traverse.ts';
import type { ImageModel, TextPart } from './family.ts';

/** How a text encoder is read some layers earlier than its family reads it. */
export interface EarlierReading {
  readonly part: TextPart;
  /** The output of a layer to put through the final norm in place of the last layer's; null where the norm is not read. */
  readonly normalise: string | null;
}

/** The largest clip skip of a model, counted as A1111 does: 1 is the layer that it reads by itself. */
export function clipSkips({ text }: Pick<ImageModel, 'text'>): number {
  const clip = text.filter(({ emphasis, hidden }) => emphasis && hidden !== null);
  return clip.length === 0 ? 1 : 1 + Math.min(...clip.map(({ earlier }) => earlier.length));
}

/**
 * The text encoders of a model, its CLIPs read `skip` − 1 layers earlier: as the reference pipelines do with their `clip_skip`,
 * which counts from 0.
 * @throws {NorthlightError} `sampling/clip-skip` where there are not so many layers to read.
 */
export function readEarlier(model: Pick<ImageModel, 'title' | 'text'>, skip: number): EarlierReading[] {
  const most = clipSkips(model);
  if (skip < 1 || skip > most || !Number.isInteger(skip)) throw tooFar(model, skip, most);
  return model.text.map((part) => {
    const output = part.emphasis && part.hidden !== null ? part.earlier[skip - 2] : undefined;
    if (output === undefined) return { part, normalise: null };
    return part.normed ? { part, normalise: output } : { part: { ...part, hidden: output }, normalise: null };
  });
}

function tooFar(model: Pick<ImageModel, 'title' | 'text'>, skip: number, most: number): NorthlightError {
  const clip = model.text.find(({ emphasis, hidden }) => emphasis && hidden !== null);
  if (most > 1 || !clip)
    return new NorthlightError(
      'sampling/clip-skip',
      clip ? `Clip skip ${skip} is asked for; the text encoder has ${most}.` : `${model.title} reads no CLIP.`,
      most > 1 ? `Use a whole number from 1 to ${most}.` : 'Leave the clip skip at 1.',
    );
  return new NorthlightError(
    'sampling/clip-skip',
    `${clip.component.path} gives only the layer that the model reads, so none can be skipped.`,
    'Export the text encoder with the states of its layers (output_hidden_states), or leave the clip skip at 1.',
  );
}

/**
 * The graph of a text encoder whose output `output`, a layer norm of its last layer, is that norm of the layer `state`:
 * `final_layer_norm(hidden_states[i])`. Only that output is left, and what it needs.
 * @throws {NorthlightError} `sampling/clip-skip` where `output` is something else than such a norm.
 */
export function normaliseEarlier(model: Model, output: string, state: string): Model {
  const { graph } = model;
  const producer = producers(graph);
  const last = normInput(graph, producer, output);
  if (last === null) throw noNorm(output, producer.get(output));
  const between = ancestors(graph, [output]);
  for (const node of ancestors(graph, [last])) between.delete(node);
  const strange = [...between].find((node) => !OF_A_NORM.has(node.opType));
  if (strange) throw noNorm(output, strange);
  const early = behindIdentity(producer, state);
  const nodes = graph.nodes.map((node) =>
    between.has(node) ? { ...node, inputs: node.inputs.map((name) => (name === last ? early : name)) } : node,
  );
  return { ...model, graph: onlyFor({ ...graph, nodes }, output) };
}

const noNorm = (output: string, node: Node | undefined) =>
  new NorthlightError(
    'sampling/clip-skip',
    `The final norm of this text encoder is not found: "${output}" comes from ${node?.opType ?? 'nothing'}.`,
    'Export the text encoder without optimisation (no fused operators), or leave the clip skip at 1.',
  );

/** A layer norm as one node, or written out as PyTorch exports it, with casts where half precision is widened. */
const OF_A_NORM = new Set('LayerNormalization ReduceMean Sub Pow Mul Add Sqrt Div Cast Constant Identity'.split(' '));

/** What a norm normalises: x of LayerNormalization(x, …) or of ((x − mean) / std) · weight + bias; null for anything else. */
function normInput(graph: Graph, producer: ReadonlyMap<string, Node>, output: string): string | null {
  const step = (name: string, opType: string): string | null => {
    const node = producer.get(behindIdentity(producer, name));
    if (node?.opType === 'Cast') return step(node.inputs[0]!, opType);
    if (node?.opType !== opType || node.domain !== '') return null;
    const isWeight = (input: string) => {
      const origin = behindIdentity(producer, input);
      return graph.initializers.has(origin) || producer.get(origin)?.opType === 'Constant';
    };
    return node.inputs.find((input) => !isWeight(input)) ?? null;
  };
  const whole = step(output, 'LayerNormalization');
  if (whole !== null) return behindIdentity(producer, whole);
  let name: string | null = output;
  for (const opType of ['Add', 'Mul', 'Div', 'Sub']) name = name === null ? null : step(name, opType);
  return name === null ? null : behindIdentity(producer, name);
}

function behindIdentity(producer: ReadonlyMap<string, Node>, name: string): string {
  const node = producer.get(name);
  return node?.opType === 'Identity' ? behindIdentity(producer, node.inputs[0]!) : name;
}

function onlyFor(graph: Graph, output: string): Graph {
  const needed = ancestors(graph, [output]);
  const nodes = graph.nodes.filter((node) => needed.has(node));
  const read = new Set(nodes.flatMap(readsOf));
  return {
    ...graph,
    nodes,
    outputs: graph.outputs.filter(({ name }) => name === output),
    initializers: new Map([...graph.initializers].filter(([name]) => read.has(name))),
  };
}
