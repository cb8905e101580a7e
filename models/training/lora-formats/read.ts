import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { fileError } from '#models/files.ts';
import { readSafetensors } from '#models/tensor/safetensors.ts';
import { numel, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import { loraBase } from '#models/training/lora-base.ts';
import { type ParsedStem, parseStem, underscored } from '#models/training/lora-names.ts';
import { diffusersName } from '#models/training/lora-unet-blocks.ts';
import type { LoraAdapter, LoraModule } from './adapter.ts';
import { splitFused } from './fused-layers.ts';
import { type AdapterConfig, alphaFor, parseAdapterConfig, splitByComponent } from './peft-config.ts';

/** How the keys of a file are spelled. */
export type LoraSpelling =
  | 'kohya'
  | 'diffusers'
  | 'diffusers (lora.down)'
  | 'diffusers (attention processors)'
  | 'peft'
  | 'generic'
  | 'mixed';

/** Everything a file holds, whether or not it can be used. */
export interface LoraContents extends LoraAdapter {
  readonly path: string;
  readonly spelling: LoraSpelling;
  /** Whether UNet blocks go by the original code's names (`input_blocks`) or diffusers' (`down_blocks`). */
  readonly blocks: 'original' | 'diffusers' | null;
  /** Stems with one half only, or with ranks that disagree, and why. */
  readonly incomplete: readonly { readonly stem: string; readonly why: string }[];
  /** Kinds of adapter that are not plain low-rank pairs, with a key that shows it. */
  readonly unsupported: readonly { readonly kind: string; readonly key: string }[];
  /** Keys of no pair. */
  readonly others: readonly string[];
}

export const WEIGHTS = { diffusers: 'pytorch_lora_weights.safetensors', peft: 'adapter_model.safetensors' } as const;
export const PEFT_CONFIG = 'adapter_config.json';
/** Header entries that belong to one format and are written anew. */
const FORMAT_KEYS = new Set(['format', 'lora_adapter_metadata', 'northlight.modules', 'northlight.alphas']);

/**
 * Reads an adapter of any spelling: a file of kohya's scripts, of diffusers in its three generations or of PEFT, or a folder
 * as diffusers and PEFT save it (PEFT also with a folder for each network).
 * @throws {NorthlightError} `lora/none` without any low-rank pair, `lora/unsupported` for another kind of adapter,
 *   `lora/incomplete`, `lora/rank-mismatch`, `lora/config`, and the `safetensors/…` and `file/…` errors.
 */
export function readLora(path: string): LoraContents {
  const contents = inspectLora(path);
  const [unsupported] = contents.unsupported;
  if (unsupported) {
    throw new NorthlightError(
      'lora/unsupported',
      `${path}: not supported: ${unsupported.kind} ("${unsupported.key}").`,
      'Choose a plain LoRA file, or convert it to one in the tool it comes from.',
    );
  }
  const [half] = contents.incomplete;
  if (half) {
    throw new NorthlightError(
      half.why.includes('rank') ? 'lora/rank-mismatch' : 'lora/incomplete',
      `${path}: "${half.stem}" ${half.why}.`,
      'The file is damaged or was cut by another tool: get it again.',
    );
  }
  if (contents.modules.length === 0) throw noPairs(path, contents.others.length);
  return contents;
}

function noPairs(path: string, count: number): NorthlightError {
  return new NorthlightError(
    'lora/none',
    `${path} holds ${count} tensors, but no low-rank pair (lora_down/lora_up, lora_A/lora_B, lora.down/lora.up).`,
    'Choose a LoRA file; full checkpoints are not adapters.',
  );
}

/** As `readLora`, for looking into a file: what cannot be used is listed and not refused. */
export function inspectLora(path: string): LoraContents {
  const parts = partsOf(path).map((part) => readPart(part));
  const [first] = parts;
  if (parts.length === 1) return { ...first!, path };
  const spellings = new Set(parts.map((p) => p.spelling));
  return {
    path,
    spelling: spellings.size > 1 ? 'mixed' : first!.spelling,
    blocks: parts.find((p) => p.blocks)?.blocks ?? null,
    modules: parts.flatMap((p) => p.modules),
    metadata: new Map(parts.flatMap((p) => [...p.metadata])),
    incomplete: parts.flatMap((p) => p.incomplete),
    unsupported: parts.flatMap((p) => p.unsupported),
    others: parts.flatMap((p) => p.others),
  };
}

interface Part {
  readonly weights: string;
  readonly config?: string;
  /** The folder's name, where a folder holds one PEFT adapter per network. */
  readonly network?: string;
}

function partsOf(path: string): Part[] {
  if (!existsSync(path) || !statSync(path).isDirectory()) {
    const config = join(dirname(path), PEFT_CONFIG);
    // Only PEFT's own file name goes with the configuration beside it.
    return [{ weights: path, ...(basename(path) === WEIGHTS.peft && existsSync(config) ? { config } : {}) }];
  }
  const peft = (folder: string, network?: string): Part[] => {
    const weights = join(folder, WEIGHTS.peft);
    if (!existsSync(weights)) return [];
    const config = join(folder, PEFT_CONFIG);
    return [{ weights, ...(existsSync(config) ? { config } : {}), ...(network ? { network } : {}) }];
  };
  const diffusers = join(path, WEIGHTS.diffusers);
  if (existsSync(diffusers)) return [{ weights: diffusers }];
  const own = peft(path);
  if (own.length > 0) return own;
  const folders = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const inside = folders.flatMap((entry) => peft(join(path, entry.name), entry.name)).sort();
  if (inside.length > 0) return inside;
  throw new NorthlightError(
    'lora/no-file',
    `The folder ${path} holds no adapter (${Object.values(WEIGHTS).join(' or ')}).`,
    'Name the .safetensors file itself.',
  );
}

interface Pair {
  down?: Tensor;
  up?: Tensor;
  alpha?: number;
  readonly keys: string[];
  readonly spelling: LoraSpelling;
}

function readPart({ weights: path, config: configPath, network }: Part): LoraContents {
  const { tensors, metadata } = readSafetensors(path);
  const { pairs, others, unsupported } = collectPairs(tensors);
  const configs = configsOf(path, configPath, metadata, unsupported);
  const declared = declaredAlphas(metadata);
  const names = exactNames(metadata);

  const modules: (LoraModule & { third: boolean })[] = [];
  const incomplete: { stem: string; why: string }[] = [];
  const blocks = new Set<'original' | 'diffusers'>();
  for (const [stem, pair] of pairs) {
    const { down, up } = pair;
    if (!down || !up) {
      incomplete.push({
        stem,
        why: `has only its ${down ? 'down' : up ? 'up' : 'alpha'} part (${pair.keys.join(', ')})`,
      });
      continue;
    }
    const rank = down.dims[0] ?? 0;
    if (up.dims[1] !== rank || rank === 0) {
      const shapes = `[${down.dims.join(', ')}] and [${up.dims.join(', ')}]`;
      incomplete.push({
        stem,
        why: `has rank ${rank} in its down part but ${up.dims[1] ?? 0} in its up part: ${shapes}`,
      });
      continue;
    }
    const parsed = parseStem(stem);
    const component = parsed.component ?? networkOf(network);
    const module = names.get(underscored(parsed.rest)) ?? moduleOf(parsed, blocks);
    const config = configs.get(component ?? 'denoiser');
    const alpha = alphaOf(pair, rank, config ? alphaFor(config, module, rank) : declared(stem));
    for (const piece of splitFused({ component, module, stem, down, up, alpha })) {
      modules.push({ ...piece, third: parsed.third === true });
    }
  }
  const flux = modules.some((m) => m.third) && loraBase(modules, metadata) === 'flux';
  const spellings = new Set([...pairs.values()].map((p) => p.spelling));
  return {
    path,
    spelling: spellings.size === 1 ? [...spellings][0]! : 'mixed',
    blocks: blocks.has('original') ? 'original' : blocks.has('diffusers') ? 'diffusers' : null,
    modules: modules.map(({ third, ...m }) =>
      third ? { ...m, component: flux ? 'text_encoder_2' : 'text_encoder_3' } : m,
    ),
    metadata: new Map([...metadata].filter(([key]) => !FORMAT_KEYS.has(key))),
    incomplete,
    unsupported,
    others,
  };
}

/** Endings of the two halves: kohya, PEFT with an adapter's name or none, diffusers in between, old text encoders, processors. */
const HALF =
  /^(?<stem>.+?)(?:\.lora_(?<k>down|up)|\.lora_(?<p>A|B)(?:\.(?!weight$)[^.]+)?|(?<o>[._])lora\.(?<d>down|up)|\.lora_linear_layer\.(?<t>down|up))\.weight$/;

/** Kinds of adapter, and parts of one, that are not a low-rank pair. */
const UNSUPPORTED: readonly (readonly [RegExp, string])[] = [
  [/\.(dora_scale|lora_magnitude_vector)/, 'DoRA'],
  [/\.lora_mid\./, 'LoCon with a middle factor (lora_mid)'],
  [/\.hada_/, 'LoHa'],
  [/\.lokr_/, 'LoKr'],
  [/\.reshape_weight$/, 'LoRA with reshaped weights'],
  [/\.(diff|diff_b|w_norm|b_norm|set_weight)$/, 'differences of norms or biases beside the pairs'],
  [/\.(oft_|boft_|oft_blocks|oft_diag)/, 'OFT'],
  [/\.(a1|a2|b1|b2)\.weight$/, 'GLoRA'],
  [/\.on_input$/, 'IA3'],
  [/\.lora_embedding_[AB]/, 'LoRA on embeddings'],
  [/\.lora_(B|up)(\.[^.]+)?\.bias$/, 'LoRA with biases'],
];

function collectPairs(tensors: ReadonlyMap<string, Tensor>) {
  const pairs = new Map<string, Pair>();
  const others: string[] = [];
  const unsupported = new Map<string, { kind: string; key: string }>();
  const alphas: [string, string, Tensor][] = [];
  for (const [key, t] of tensors) {
    const kind = UNSUPPORTED.find(([pattern]) => pattern.test(key))?.[1];
    if (kind !== undefined) {
      if (!unsupported.has(kind)) unsupported.set(kind, { kind, key });
      continue;
    }
    const half = HALF.exec(key)?.groups;
    if (half) {
      const stem = plainStem(half.stem!);
      const pair = pairs.get(stem) ?? { keys: [], spelling: spellingOf(key, half) };
      pairs.set(stem, pair);
      pair.keys.push(key);
      pair[(half.k ?? half.d ?? half.t ?? (half.p === 'A' ? 'down' : 'up')) as 'down' | 'up'] = t;
    } else if (key.endsWith('.alpha') && numel(t.dims) === 1) {
      alphas.push([plainStem(key.slice(0, -'.alpha'.length).replace(/[._]lora$/, '')), key, t]);
    } else others.push(key);
  }
  for (const [stem, key, t] of alphas) {
    const pair = pairs.get(stem) ?? { keys: [], spelling: 'kohya' as const };
    pairs.set(stem, pair);
    pair.keys.push(key);
    pair.alpha = toNumbers(t)[0]!;
  }
  return { pairs, others, unsupported: [...unsupported.values()] };
}

/** Attention processors held the pairs of early diffusers: `attn1.processor.to_q_lora.down` is for `attn1.to_q`. */
function plainStem(stem: string): string {
  const plain = stem.replace(/\.processor\.(.+?)(?:_lora)?$/, '.$1');
  // The output projection is a list of a layer and a dropout; a processor only knew the layer.
  return plain === stem ? stem : plain.replace(/\.to_out$/, '.to_out.0');
}

function spellingOf(key: string, half: Readonly<Record<string, string | undefined>>): LoraSpelling {
  if (key.includes('.processor.')) return 'diffusers (attention processors)';
  if (half.t || half.d) return 'diffusers (lora.down)';
  const dots = half.stem!.includes('.');
  if (half.k) return dots ? 'generic' : 'kohya';
  if (key.startsWith('base_model.model.')) return 'peft';
  return /^(unet|transformer|text_encoder(_[23])?)\./.test(key)
    ? 'diffusers'
    : /diffusion_model\./.test(key)
      ? 'generic'
      : 'peft';
}

function moduleOf({ path }: ParsedStem, blocks: Set<'original' | 'diffusers'>): string {
  const mapped = diffusersName(path);
  if (mapped !== undefined && mapped !== path) {
    blocks.add('original');
    return mapped;
  }
  if (/^(down_blocks|up_blocks|mid_block)\./.test(path)) blocks.add('diffusers');
  return path;
}

const networkOf = (folder: string | undefined): LoraModule['component'] =>
  folder === undefined ? null : parseStem(`${folder}.x`).component;

/** Modules whose dotted names cannot be told from their keys, as our writer notes them. */
function exactNames(metadata: ReadonlyMap<string, string>): Map<string, string> {
  const listed = z.array(z.string()).safeParse(json(metadata.get('northlight.modules')));
  return new Map((listed.data ?? []).map((module) => [underscored(module), module]));
}

/** The rule for alpha of each network: of PEFT's configuration beside the weights, or of diffusers' in the header. */
function configsOf(
  path: string,
  configPath: string | undefined,
  metadata: ReadonlyMap<string, string>,
  unsupported: { kind: string; key: string }[],
): { get(component: string): AdapterConfig | undefined } {
  let configs = new Map<string, AdapterConfig>();
  let everywhere: AdapterConfig | undefined;
  const refuse = (kind: string, key: string) => unsupported.push({ kind, key });
  if (configPath !== undefined) {
    let text: string;
    try {
      text = readFileSync(configPath, 'utf8');
    } catch (error) {
      throw fileError(error, configPath, 'read');
    }
    everywhere = parseAdapterConfig(json(text), configPath, refuse);
  } else if (metadata.has('lora_adapter_metadata')) {
    const parsed = json(metadata.get('lora_adapter_metadata'));
    configs = splitByComponent(parsed, `the header of ${path}`, refuse);
    everywhere = configs.get('');
  }
  return { get: (component) => configs.get(component) ?? everywhere };
}

/** Alphas as the header has them, exact where the tensors are float32: of single keys, or kohya's for the whole file. */
function declaredAlphas(metadata: ReadonlyMap<string, string>): (stem: string) => number | undefined {
  const whole = Number(metadata.get('ss_network_alpha') ?? Number.NaN);
  const exact = z.record(z.string(), z.number()).safeParse(json(metadata.get('northlight.alphas'))).data ?? {};
  const otherwise = Number.isFinite(whole) ? whole : undefined;
  return (stem) => (Object.hasOwn(exact, stem) ? exact[stem] : otherwise);
}

/** Missing or zero means alpha = rank. A declared alpha stands in for a missing one, and for its own float32 rounding. */
function alphaOf({ alpha }: Pair, rank: number, declared: number | undefined): number {
  if (alpha !== undefined && declared !== undefined && Math.fround(declared) === alpha) return declared || rank;
  return (alpha ?? declared) || rank;
}

function json(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
