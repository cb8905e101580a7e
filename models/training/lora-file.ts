import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import type { Model } from '#models/onnx/ir.ts';
import { dimsEqual, isFloat, type Tensor } from '#models/tensor/tensor.ts';
import { findLoraTargets, type LoraConfig, type LoraTarget, loraParameters, parameterOf, scaleOf } from './lora.ts';
import { type LoraAdapter, type LoraModule, summarise } from './lora-formats/adapter.ts';
import { readLora } from './lora-formats/read.ts';
import { type WriteLoraOptions, writeLora } from './lora-formats/write.ts';
import { type LoraComponent, parseStem, underscored } from './lora-names.ts';
import { pack, unpack } from './lora-packed.ts';

export interface LoraFile {
  readonly config: LoraConfig;
  readonly targets: readonly LoraTarget[];
  /** By the names of `loraParameters`; float32 as written here, other floats as found. */
  readonly parameters: ReadonlyMap<string, Tensor>;
  /** Names in the file that belong to no module of the model, or to another network. */
  readonly unmatched: readonly string[];
  readonly metadata: ReadonlyMap<string, string>;
}

/** One network's trained adapter. */
export interface NetworkAdapter {
  readonly targets: readonly LoraTarget[];
  readonly config: LoraConfig;
  /** By the names of `loraParameters`. */
  readonly parameters: ReadonlyMap<string, Tensor>;
  /** Default: the denoiser. */
  readonly component?: LoraComponent;
}

/**
 * Writes one network's adapter, by default in the naming of kohya's scripts, which every consumer reads. Atomic; equal
 * adapters give equal bytes. Several networks in one file: `modulesOf` each, and `writeLora`.
 * @param adapter.metadata keys without a known prefix are put under `northlight.`; `ss_base_model_version` names the family.
 * @throws {NorthlightError} as `modulesOf` and `writeLora`.
 */
export function writeLoraFile(
  path: string,
  adapter: NetworkAdapter & { readonly metadata?: ReadonlyMap<string, string> },
  options: WriteLoraOptions = {},
): void {
  const metadata = new Map(adapter.metadata).set('northlight.targets', JSON.stringify(adapter.config.targets));
  writeLora(path, { modules: modulesOf(adapter), metadata }, options);
}

/**
 * A network's adapter away from its model.
 * @throws {NorthlightError} `lora/missing`, `lora/shape` for parameters that do not fit the targets.
 */
export function modulesOf({ targets, config, parameters, component = 'denoiser' }: NetworkAdapter): LoraModule[] {
  const modules = new Map<string, LoraModule>();
  for (const target of targets) {
    const { module } = target;
    if (modules.has(target.parts?.[0]?.module ?? module)) continue;
    const wanted = loraParameters(target, config);
    const [down, up] = [parameterOf(parameters, wanted.down), parameterOf(parameters, wanted.up)];
    const whole = { component, module, stem: module, down, up, alpha: scaleOf(config, module).alpha };
    for (const m of target.parts ? unpack(whole, target.parts) : [whole]) modules.set(m.module, m);
  }
  return [...modules.values()];
}

export interface BindOptions {
  /** Which network the model is; default: the denoiser. Names that do not say theirs are taken for any. */
  readonly component?: LoraComponent;
}

/**
 * Reads an adapter in any spelling and finds the model's module for each of its names.
 * @throws {NorthlightError} as `readLora` and `bindLora`.
 */
export function readLoraFile(path: string, model: Model, options: BindOptions = {}): LoraFile {
  const contents = readLora(path);
  const { others } = contents;
  const bound = bindLora(contents, model, path, options);
  return { ...bound, unmatched: [...others, ...bound.unmatched] };
}

/**
 * The part of an adapter that is for a model, with the model's nodes.
 * @param where names the adapter in errors.
 * @throws {NorthlightError} `lora/no-match` when none of its names fits the model, `lora/key-collision`, `lora/shape`.
 */
export function bindLora(adapter: LoraAdapter, model: Model, where: string, options: BindOptions = {}): LoraFile {
  const component = options.component ?? 'denoiser';
  const all = findLoraTargets(model, 'all');
  const modules = modulesByKey(all);
  const parts = modulesByKey(partTargets(all));
  const unmatched: string[] = [];
  const targets: LoraTarget[] = [];
  const parameters = new Map<string, Tensor>();
  const scales = new Map<string, { rank: number; alpha: number }>();
  const seen = new Set<string>();
  const packed = new Map<string, Map<string, LoraModule>>();
  const collide = (m: LoraModule, module: string) => {
    if (!seen.has(module)) {
      seen.add(module);
      return;
    }
    throw new NorthlightError(
      'lora/key-collision',
      `${where}: two sets of keys are for the module "${module}"; the second is "${m.stem}".`,
      'Split the file by component.',
    );
  };
  const take = (m: LoraModule, found: readonly LoraTarget[]) => {
    const first = found[0]!;
    collide(m, first.module);
    const scale = { rank: m.down.dims[0]!, alpha: m.alpha };
    scales.set(first.module, scale);
    const wanted = loraParameters(first, scale);
    parameters.set(wanted.down.name, fitted(where, m.stem, m.down, wanted.down.dims));
    parameters.set(wanted.up.name, fitted(where, m.stem, m.up, wanted.up.dims));
    targets.push(...found);
  };
  for (const m of adapter.modules) {
    const here = m.component === null || m.component === component;
    const found = here ? matchModule(m, modules) : undefined;
    const part = here && !found ? matchModule(m, parts)?.[0] : undefined;
    if (found) take(m, found);
    else if (part) {
      collide(m, part.module);
      const own = packed.get(part.node) ?? new Map<string, LoraModule>();
      const wanted = loraParameters(part, { rank: m.down.dims[0]!, alpha: m.alpha });
      const [down, up] = [wanted.down, wanted.up].map((w, i) => fitted(where, m.stem, i === 0 ? m.down : m.up, w.dims));
      packed.set(part.node, own.set(part.module, { ...m, down: down!, up: up! }));
    } else unmatched.push(m.stem);
  }
  for (const [node, own] of packed) {
    const whole = all.find((t) => t.node === node)!;
    const given = whole.parts!.map((p) => own.get(p.module));
    take(
      pack(whole.module, whole.outFeatures, whole.parts!, given),
      all.filter((t) => t.module === whole.module),
    );
  }
  if (targets.length === 0) {
    throw new NorthlightError(
      'lora/no-match',
      `${where}: none of its ${adapter.modules.length} adapted modules is in the model. The file names ${sample(adapter.modules.map((m) => m.stem))}; the model has ${sample([...modules.keys()])}.`,
      'The adapter belongs to another model, or to another part of this one, such as the text encoder.',
    );
  }
  return { config: configOf(adapter, scales), targets, parameters, unmatched, metadata: adapter.metadata };
}

/** The modules packed into others, each as if it were a target; the first node stands for all that share the weight. */
function partTargets(all: readonly LoraTarget[]): LoraTarget[] {
  return all.flatMap((t) =>
    (t.parts ?? []).map(({ module, rows }): LoraTarget => ({ ...t, module, outFeatures: rows.length })),
  );
}

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

/** By the name in diffusers' naming; then as the file has it, for models that go by other names. */
function matchModule(m: LoraModule, modules: ReadonlyMap<string, LoraTarget[]>): LoraTarget[] | undefined {
  for (const name of [m.module, parseStem(m.stem).rest, m.stem].map(underscored)) {
    // The output projection of attention is a list of a layer and a dropout, but not in every export.
    for (const variant of [name, name.replace(/to_out$/, 'to_out_0'), name.replace(/to_out_0$/, 'to_out')]) {
      const found = modules.get(variant);
      if (found) return found;
    }
  }
  return undefined;
}

/** The tensor in the model's shape: a 1×1 convolution and a linear layer may stand for each other. */
function fitted(where: string, stem: string, t: Tensor, dims: readonly number[]): Tensor {
  const core = (d: readonly number[]) => (d.slice(2).every((n) => n === 1) ? d.slice(0, 2) : d);
  if (isFloat(t.dtype) && dimsEqual(core(t.dims), core(dims))) return { ...t, dims };
  throw new NorthlightError(
    'lora/shape',
    `${where}: "${stem}" holds ${t.dtype} [${t.dims.join(', ')}], but the model needs a float [${dims.join(', ')}].`,
    'The adapter was made for another model: choose the model it belongs to.',
  );
}

const targetsSchema = z.union([z.enum(['attention', 'linear', 'all']), z.object({ pattern: z.string() })]);

/** The commonest rank and alpha, with the modules that differ; targets as declared, or else the modules found. */
function configOf(
  adapter: LoraAdapter,
  scales: ReadonlyMap<string, { readonly rank: number; readonly alpha: number }>,
): LoraConfig {
  const { rank, alpha } = summarise(adapter.modules);
  const modules = new Map([...scales].filter(([, s]) => s.rank !== rank || s.alpha !== alpha));
  const declared = targetsSchema.safeParse(json(adapter.metadata.get('northlight.targets')));
  const escaped = [...scales.keys()].map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const targets = declared.success ? declared.data : { pattern: `^(${escaped.join('|')})$` };
  return { rank, alpha, targets, ...(modules.size > 0 ? { modules } : {}) };
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
