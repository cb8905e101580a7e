import { z } from 'zod';
import { asCount, asNumber, asRecord, asText, MAX_LORAS, MAX_PROMPT, parseObject } from './bounds.ts';
import { guidanceOf } from './guidance.ts';
import { readSampler } from './sampler-names.ts';
import type { PictureSettings, UsedLora } from './types.ts';

/**
 * ComfyUI's `prompt`: a graph of nodes `{ class_type, inputs }`, whose inputs are values or links `[node, output]`. There are
 * thousands of kinds of nodes, so those in between are passed by what their inputs are called, not by what they are.
 */

const node = z.object({ class_type: z.string(), inputs: z.record(z.string(), z.unknown()) });
type Node = z.infer<typeof node>;
interface Graph {
  readonly nodes: ReadonlyMap<string, Node>;
}

const MAX_NODES = 5000;

/** Settings of the sampler that made the picture; null when the text is no such graph or has no sampler. */
export function comfySettings(text: string): PictureSettings | null {
  const graph = parseGraph(text);
  const sampler = graph && firstPass(graph);
  if (!graph || !sampler) return null;
  const { inputs } = sampler;
  // SamplerCustomAdvanced keeps noise, guidance and steps in nodes of their own.
  const guider = linked(graph, inputs.guider)?.inputs ?? {};
  const sigmas = linked(graph, inputs.sigmas)?.inputs ?? {};
  const noise = linked(graph, inputs.noise)?.inputs ?? {};
  const select = linked(graph, inputs.sampler)?.inputs ?? {};
  const positive = inputs.positive ?? guider.positive ?? guider.conditioning;
  const encoder = upstream(graph, positive).find((n) => n.inputs.clip !== undefined);
  const model = modelOf(graph, inputs.model ?? guider.model ?? sigmas.model);
  const [latent] = upstream(graph, inputs.latent_image).filter(
    (n) => asCount(numberAt(graph, n.inputs.width)) !== null && asCount(numberAt(graph, n.inputs.height)) !== null,
  );
  const stop = asNumber(
    upstream(graph, encoder?.inputs.clip).find((n) => n.inputs.stop_at_clip_layer !== undefined)?.inputs
      .stop_at_clip_layer,
  );
  // Of FluxGuidance or CLIPTextEncodeFlux.
  const told = upstream(graph, positive).find((n) => n.inputs.guidance !== undefined)?.inputs.guidance;
  const seed = numberAt(graph, inputs.seed ?? inputs.noise_seed ?? noise.noise_seed ?? noise.seed);
  const denoising = numberAt(graph, inputs.denoise ?? sigmas.denoise);
  return {
    source: 'comfyui',
    prompt: textAt(graph, positive) ?? '',
    negativePrompt: textAt(graph, inputs.negative ?? guider.negative) ?? '',
    steps: asCount(numberAt(graph, inputs.steps ?? sigmas.steps)),
    ...readSampler(asText(inputs.sampler_name ?? select.sampler_name), asText(inputs.scheduler ?? sigmas.scheduler)),
    guidanceScale: guidanceOf(numberAt(graph, inputs.cfg ?? guider.cfg), numberAt(graph, told)),
    seed: asCount(seed),
    width: asCount(numberAt(graph, latent?.inputs.width)),
    height: asCount(numberAt(graph, latent?.inputs.height)),
    modelName: model.name,
    modelHash: null,
    loras: model.loras,
    clipSkip: stop !== null && stop < 0 ? -stop : null,
    denoising: denoising === 1 ? null : denoising,
    other: {
      'sampler node': sampler.class_type,
      ...(seed !== null && asCount(seed) === null
        ? { seed: asText(inputs.seed ?? inputs.noise_seed) ?? String(seed) }
        : {}),
    },
    own: null,
  };
}

function parseGraph(text: string): Graph | null {
  const entries = Object.entries(parseObject(text) ?? {}).slice(0, MAX_NODES);
  const nodes = new Map<string, Node>();
  for (const [id, value] of entries) {
    const parsed = node.safeParse(value);
    if (parsed.success) nodes.set(id, parsed.data);
  }
  return nodes.size > 0 ? { nodes } : null;
}

function linked({ nodes }: Graph, value: unknown): Node | undefined {
  if (!Array.isArray(value) || value.length !== 2 || typeof value[1] !== 'number') return undefined;
  return nodes.get(String(value[0]));
}

/** The node that a link leads to and all behind it, nearest first, each once: graphs of strangers may have circles. */
function upstream(graph: Graph, link: unknown, through: (input: string) => boolean = () => true): Node[] {
  const start = linked(graph, link);
  return start ? behind(graph, [start], through) : [];
}

function behind(graph: Graph, starts: readonly Node[], through: (input: string) => boolean = () => true): Node[] {
  const found = new Set(starts);
  // A set goes on with what is added while it is walked.
  for (const n of found) {
    for (const [name, value] of Object.entries(n.inputs)) {
      const next = through(name) ? linked(graph, value) : undefined;
      if (next) found.add(next);
    }
  }
  return [...found];
}

const isSampler = ({ class_type, inputs }: Node) =>
  class_type.startsWith('SamplerCustom') ||
  (inputs.steps !== undefined && (inputs.seed ?? inputs.noise_seed) !== undefined && inputs.positive !== undefined);

const isOutput = ({ class_type }: Node) => /Save|Preview|Output/i.test(class_type);

/** The sampler farthest behind the saved picture: later ones only work its result over. */
function firstPass(graph: Graph): Node | undefined {
  const all = [...graph.nodes.values()];
  return behind(graph, all.filter(isOutput)).findLast(isSampler) ?? all.find(isSampler);
}

/** A number that stands in an input itself, or in the node it is linked to. */
function numberAt(graph: Graph, value: unknown): number | null {
  for (const n of upstream(graph, value)) {
    for (const key of ['value', 'int', 'float', 'number', 'seed', 'noise_seed']) {
      const found = asNumber(n.inputs[key]);
      if (found !== null) return found;
    }
  }
  return linked(graph, value) ? null : asNumber(value);
}

const TEXTS = ['text', 'text_g', 't5xxl', 'clip_l', 'text_l', 'prompt', 'string', 'value'];
const STRINGS = /^(text|string|prompt|value|a|b|input)/i;

/** The prompt behind a conditioning or a text: the nearest node with words in it. */
function textAt(graph: Graph, link: unknown): string | null {
  // Not through models and pictures, whose nodes have texts of other kinds.
  const through = (input: string) => !/^(clip|model|vae|image|control_net|latent)/i.test(input);
  for (const n of upstream(graph, link, through)) {
    if (n.class_type === 'ConditioningZeroOut') return '';
    for (const key of TEXTS) {
      const found = asText(n.inputs[key]);
      if (found !== null) return found;
    }
    const joined = Object.entries(n.inputs)
      .filter(([key, value]) => STRINGS.test(key) && typeof value === 'string')
      .map(([, value]) => value);
    if (/concat|join/i.test(n.class_type) && joined.length > 0) return joined.join('').slice(0, MAX_PROMPT);
  }
  return null;
}

/** The checkpoint at the end of the chain of models, and the adapters on the way, from the checkpoint's side. */
function modelOf(graph: Graph, link: unknown): { name: string | null; loras: UsedLora[] } {
  const chain = upstream(graph, link, (input) => !/^(clip|vae|positive|negative|image)/.test(input));
  const loras: UsedLora[] = [];
  let name: string | null = null;
  for (const { inputs } of chain) {
    name ??= asText(inputs.ckpt_name ?? inputs.unet_name ?? inputs.model_name);
    const lora = asText(inputs.lora_name);
    if (lora !== null && lora !== 'None') {
      loras.push({ name: lora, weight: asNumber(inputs.strength_model) ?? 1, hash: null });
    }
    // The "power loader" keeps a list of its own.
    for (const value of Object.values(inputs)) {
      const entry = asRecord(value);
      const file = asText(entry?.lora);
      if (file !== null && file !== 'None' && entry?.on !== false) {
        loras.push({ name: file, weight: asNumber(entry?.strength) ?? 1, hash: null });
      }
    }
  }
  return { name, loras: loras.reverse().slice(0, MAX_LORAS) };
}
