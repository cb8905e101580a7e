import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import type { Model } from '#models/onnx/ir.ts';
import { readSafetensors, writeSafetensors } from '#models/tensor/safetensors.ts';
import { dimsEqual, f32, isFloat, type Tensor, toNumbers } from '#models/tensor/tensor.ts';
import { findLoraTargets, type LoraConfig, type LoraTarget, loraParameters, scaleOf } from './lora.ts';

export interface LoraFile {
  readonly config: LoraConfig;
  readonly targets: readonly LoraTarget[];
  /** By the names of `loraParameters`; float32 as written here, other floats as found. */
  readonly parameters: ReadonlyMap<string, Tensor>;
  /** Keys of the file that belong to no module of the model. */
  readonly unmatched: readonly string[];
  readonly metadata: ReadonlyMap<string, string>;
}

/** Metadata other tools know; anything else of ours goes under an own prefix. */
const KNOWN_METADATA = /^(ss_|sshs_|modelspec\.|northlight\.)/;
const OWN = 'northlight.';

/**
 * Writes an adapter in the naming of kohya's scripts, which every consumer reads: `<prefix><module with _ for .>` with
 * `.lora_down.weight`, `.lora_up.weight` and a float `.alpha`. Atomic; equal adapters give equal bytes.
 * @param adapter.prefix `lora_unet_` for a denoiser, `lora_te_` for a text encoder.
 * @param adapter.metadata keys without a known prefix are put under `northlight.`; `ss_base_model_version` names the family.
 * @throws {NorthlightError} `lora/key-collision`, `lora/not-finite`, `lora/missing`, and the `file/…` errors of writing.
 */
export function writeLoraFile(
  path: string,
  adapter: {
    readonly targets: readonly LoraTarget[];
    readonly config: LoraConfig;
    readonly parameters: ReadonlyMap<string, Tensor>;
    readonly prefix: string;
    readonly metadata?: ReadonlyMap<string, string>;
  },
): void {
  const { config, parameters } = adapter;
  const tensors = new Map<string, Tensor>();
  const moduleOf = new Map<string, string>();
  for (const target of adapter.targets) {
    const key = adapter.prefix + underscored(target.module);
    const other = moduleOf.get(key);
    if (other === target.module) continue;
    if (other !== undefined) {
      throw new NorthlightError(
        'lora/key-collision',
        `The modules "${other}" and "${target.module}" would both be called "${key}" in ${path}.`,
        'Leave one of them out of the targets.',
      );
    }
    moduleOf.set(key, target.module);
    const { down, up } = loraParameters(target, config);
    for (const [end, { name }] of [['lora_down', down] as const, ['lora_up', up] as const]) {
      const t = parameters.get(name);
      if (!t) throw new NorthlightError('lora/missing', `The adapter has no "${name}".`, 'Write all of its targets.');
      if (!toNumbers(t).every(Number.isFinite)) {
        throw new NorthlightError(
          'lora/not-finite',
          `"${name}" holds a value that is not a number; nothing was written to ${path}.`,
          'Go back to the last good checkpoint and use a smaller learning rate.',
        );
      }
      tensors.set(`${key}.${end}.weight`, t);
    }
    tensors.set(`${key}.alpha`, f32([], [scaleOf(config, target.module).alpha]));
  }
  writeSafetensors(path, tensors, fileMetadata(adapter.targets, config, adapter.metadata ?? new Map()));
}

function fileMetadata(
  targets: readonly LoraTarget[],
  config: LoraConfig,
  extra: ReadonlyMap<string, string>,
): Map<string, string> {
  const spatial = targets.find((t) => t.kernel.some((k) => k > 1));
  const conv = spatial && scaleOf(config, spatial.module);
  // The six keys by which other tools tell what a file is; booleans in Python's spelling.
  const metadata = new Map([
    ['ss_base_model_version', 'custom'],
    ['ss_v2', 'False'],
    ['ss_network_module', 'networks.lora'],
    ['ss_network_dim', String(config.rank)],
    ['ss_network_alpha', String(config.alpha)],
    ['ss_network_args', JSON.stringify(conv ? { conv_dim: String(conv.rank), conv_alpha: String(conv.alpha) } : {})],
    [`${OWN}targets`, JSON.stringify(config.targets)],
  ]);
  for (const [key, value] of extra) metadata.set(KNOWN_METADATA.test(key) ? key : OWN + key, value);
  return metadata;
}

/**
 * Reads an adapter and finds the model's module for each of its keys: kohya naming, and that of PEFT and diffusers.
 * A missing or zero alpha means alpha = rank.
 * @param options.prefix reads only keys that start with it, for files that hold several components.
 * @throws {NorthlightError} `lora/none` when no key is of a low-rank pair, `lora/no-match` when none fits the model,
 *   `lora/unsupported`, `lora/incomplete`, `lora/rank-mismatch`, `lora/shape`, and the `safetensors/…` and `file/…` errors.
 */
export function readLoraFile(path: string, model: Model, options: { readonly prefix?: string } = {}): LoraFile {
  const { tensors, metadata } = readSafetensors(path);
  const { pairs, others } = collectPairs(path, tensors);
  const modules = modulesByKey(findLoraTargets(model, 'all'));
  const declared = declaredAlpha(metadata);

  const unmatched: string[] = [...others];
  const targets: LoraTarget[] = [];
  const parameters = new Map<string, Tensor>();
  const scales = new Map<string, { rank: number; alpha: number }>();
  for (const [stem, pair] of pairs) {
    const found = stem.startsWith(options.prefix ?? '') ? matchModule(stem, modules) : undefined;
    if (!found) {
      unmatched.push(...pair.keys);
      continue;
    }
    const { down, up } = pair;
    if (!down || !up) {
      throw new NorthlightError(
        'lora/incomplete',
        `${path}: "${stem}" has only its ${down ? 'down' : up ? 'up' : 'alpha'} part (${pair.keys.join(', ')}).`,
        'The file is damaged or was cut by another tool: get it again.',
      );
    }
    const rank = down.dims[0] ?? 0;
    if (up.dims[1] !== rank || rank === 0) {
      throw new NorthlightError(
        'lora/rank-mismatch',
        `${path}: "${stem}" has rank ${rank} in its down part [${down.dims.join(', ')}] but ${up.dims[1] ?? 0} in its up part [${up.dims.join(', ')}].`,
        'The file is damaged or was made by a broken converter: get it again.',
      );
    }
    const [{ module }] = found as [LoraTarget];
    if (scales.has(module)) {
      throw new NorthlightError(
        'lora/key-collision',
        `${path}: two sets of keys are for the module "${module}"; the second is "${stem}".`,
        'Split the file by component, or read it with a prefix.',
      );
    }
    const written = pair.alpha;
    // The file keeps alpha as float32; the declared one is the same number before rounding.
    const alpha =
      written === undefined ? (declared ?? rank) : declared && Math.fround(declared) === written ? declared : written;
    const scale = { rank, alpha: alpha === 0 ? rank : alpha };
    scales.set(module, scale);
    const wanted = loraParameters(found[0]!, scale);
    parameters.set(wanted.down.name, fitted(path, stem, down, wanted.down.dims));
    parameters.set(wanted.up.name, fitted(path, stem, up, wanted.up.dims));
    targets.push(...found);
  }
  if (targets.length === 0) {
    throw new NorthlightError(
      'lora/no-match',
      `${path}: none of its ${pairs.size} adapted modules is in the model. The file names ${sample([...pairs.keys()])}; the model has ${sample([...modules.keys()])}.`,
      'The adapter belongs to another model, or to another part of this one, such as the text encoder.',
    );
  }
  return { config: configOf(scales, metadata), targets, parameters, unmatched, metadata };
}

interface Pair {
  down?: Tensor;
  up?: Tensor;
  alpha?: number;
  keys: string[];
}

/** Endings of the two halves: kohya, PEFT, diffusers, old diffusers, old text encoders. */
const HALF =
  /^(?<stem>.+?)(?:\.lora_(?<k>down|up)|\.lora_(?<p>A|B)(?:\.default)?|[._]lora\.(?<d>down|up)|\.lora_linear_layer\.(?<t>down|up))\.weight$/;

const UNSUPPORTED: readonly (readonly [RegExp, string])[] = [
  [/\.(dora_scale|lora_magnitude_vector)/, 'DoRA'],
  [/\.lora_mid\./, 'a LoCon with a middle factor'],
  [/\.hada_/, 'LoHa'],
  [/\.lokr_/, 'LoKr'],
];

function collectPairs(path: string, tensors: ReadonlyMap<string, Tensor>) {
  const pairs = new Map<string, Pair>();
  const others: string[] = [];
  const alphas: [string, string, Tensor][] = [];
  const pairOf = (stem: string, key: string): Pair => {
    const pair = pairs.get(stem) ?? { keys: [] };
    pair.keys.push(key);
    pairs.set(stem, pair);
    return pair;
  };
  for (const [key, t] of tensors) {
    const kind = UNSUPPORTED.find(([pattern]) => pattern.test(key));
    if (kind) {
      throw new NorthlightError(
        'lora/unsupported',
        `${path} is ${kind[1]} (it holds "${key}"), which is not supported.`,
        'Choose a plain LoRA file, or convert it to one in the tool it comes from.',
      );
    }
    const half = HALF.exec(key)?.groups;
    if (half) {
      const side = half.k ?? half.d ?? half.t ?? (half.p === 'A' ? 'down' : 'up');
      pairOf(half.stem!, key)[side as 'down' | 'up'] = t;
    } else if (key.endsWith('.alpha') && t.data.length === 1) alphas.push([key.slice(0, -'.alpha'.length), key, t]);
    else others.push(key);
  }
  if (pairs.size === 0) {
    throw new NorthlightError(
      'lora/none',
      `${path} holds ${tensors.size} tensors, but no low-rank pair (lora_down/lora_up, lora_A/lora_B, lora.down/lora.up).`,
      'Choose a LoRA file; full checkpoints are not adapters.',
    );
  }
  for (const [stem, key, t] of alphas) pairOf(stem, key).alpha = toNumbers(t)[0]!;
  return { pairs, others };
}

const underscored = (path: string) => path.replaceAll('.', '_');

/** The targets of each module, by module name with underscores; names that two modules share are left out. */
function modulesByKey(targets: readonly LoraTarget[]): Map<string, LoraTarget[]> {
  const byKey = new Map<string, LoraTarget[]>();
  const ambiguous = new Set<string>();
  for (const t of targets) {
    const key = underscored(t.module);
    const list = byKey.get(key);
    if (list && list[0]!.module !== t.module) ambiguous.add(key);
    byKey.set(key, [...(list ?? []), t]);
  }
  for (const key of ambiguous) byKey.delete(key);
  return byKey;
}

/** What tools put before a module's path, dots as underscores. */
const COMPONENT = /^(lora_)?((base_model_model|unet|te\d?|text_encoder(_\d)?|transformer|diffusion_model)_)*/;

function matchModule(stem: string, modules: ReadonlyMap<string, LoraTarget[]>): LoraTarget[] | undefined {
  const full = underscored(stem.replace('.processor.', '.'));
  for (const name of [full, full.replace(/^lora_[a-z]+\d?_/, ''), full.replace(COMPONENT, '')]) {
    // The output projection of attention is a list of a layer and a dropout, but not in every export.
    for (const variant of [name, name.replace(/to_out$/, 'to_out_0'), name.replace(/to_out_0$/, 'to_out')]) {
      const found = modules.get(variant);
      if (found) return found;
    }
  }
  return undefined;
}

/** The tensor in the model's shape: a 1×1 convolution and a linear layer may stand for each other. */
function fitted(path: string, stem: string, t: Tensor, dims: readonly number[]): Tensor {
  const core = (d: readonly number[]) => (d.slice(2).every((n) => n === 1) ? d.slice(0, 2) : d);
  if (isFloat(t.dtype) && dimsEqual(core(t.dims), core(dims))) return { ...t, dims };
  throw new NorthlightError(
    'lora/shape',
    `${path}: "${stem}" holds ${t.dtype} [${t.dims.join(', ')}], but the model needs a float [${dims.join(', ')}].`,
    'The adapter was made for another model: choose the model it belongs to.',
  );
}

const adapterMetadata = z.record(z.string(), z.unknown());

/** Alpha as the header has it: kohya's `ss_network_alpha`, or the JSON of PEFT. */
function declaredAlpha(metadata: ReadonlyMap<string, string>): number | undefined {
  const own = Number(metadata.get('ss_network_alpha') ?? Number.NaN);
  if (Number.isFinite(own)) return own;
  const entries = adapterMetadata.safeParse(json(metadata.get('lora_adapter_metadata')));
  if (!entries.success) return undefined;
  const found = Object.entries(entries.data).find(([key]) => /(^|\.)lora_alpha$/.test(key))?.[1];
  return typeof found === 'number' && Number.isFinite(found) ? found : undefined;
}

const targetsSchema = z.union([z.enum(['attention', 'linear', 'all']), z.object({ pattern: z.string() })]);

/** The commonest rank and alpha, with the modules that differ; targets as declared, or else the modules found. */
function configOf(
  scales: ReadonlyMap<string, { rank: number; alpha: number }>,
  metadata: ReadonlyMap<string, string>,
): LoraConfig {
  const counts = new Map<string, number>();
  const key = (s: { rank: number; alpha: number }) => `${s.rank}/${s.alpha}`;
  for (const s of scales.values()) counts.set(key(s), (counts.get(key(s)) ?? 0) + 1);
  const most = Math.max(...counts.values());
  const common = [...scales.values()].find((s) => counts.get(key(s)) === most)!;
  const modules = new Map([...scales].filter(([, s]) => key(s) !== key(common)));
  const declared = targetsSchema.safeParse(json(metadata.get(`${OWN}targets`)));
  const escaped = [...scales.keys()].map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const targets = declared.success ? declared.data : { pattern: `^(${escaped.join('|')})$` };
  return { ...common, targets, ...(modules.size > 0 ? { modules } : {}) };
}

function json(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

const sample = (names: readonly string[]) =>
  names.length === 0 ? 'none' : `"${names[0]}"${names.length > 1 ? ` and ${names.length - 1} more` : ''}`;
