import { basename } from 'node:path';
import type { PictureSettings, UsedLora } from '#pipelines/images/settings/index.ts';
import { withoutLoraTags } from '#pipelines/images/settings/lora-tags.ts';
import { LEARNABLE_SAMPLERS } from '#pipelines/schedulers/names.ts';
import { type Adapter, generateInput, type Model, type Recalled } from './contract.ts';

/** What is at hand in the project. */
export interface AtHand {
  readonly models: readonly Model[];
  readonly adapters: readonly Adapter[];
  /** The model chosen now. */
  readonly modelId: string | null;
  /** Whether the picture with this SHA-256 is in the project. */
  hasPicture(hash: string): boolean;
}

const SOURCES: Readonly<Record<Recalled['source'], string>> = {
  northlight: 'Northlight',
  a1111: 'AUTOMATIC1111',
  comfyui: 'ComfyUI',
  invokeai: 'InvokeAI',
  swarmui: 'SwarmUI',
  'draw-things': 'Draw Things',
};

/** Settings of a picture as the Generate form can have them, with a word on everything that it cannot. */
export function recallSettings(found: PictureSettings, at: AtHand): Recalled {
  const notes: string[] = [];
  const form: Recalled['form'] = {};
  const matched = modelOf(found, at.models, notes);
  const model = matched ?? at.models.find((m) => m.id === at.modelId);
  const prompt = withoutLoraTags(found.prompt);
  form.prompts = prompt.replace(/\s*\n\s*/g, ' ');
  if (prompt.includes('\n'))
    notes.push('Line breaks in the prompt became spaces: here every line is a prompt of its own.');
  form.negativePrompt = found.negativePrompt;
  take(form, 'steps', found.steps, notes);
  take(form, 'guidanceScale', found.guidanceScale, notes);
  take(form, 'seed', found.seed, notes);
  takeSampler(form, found, model, notes);
  takeOwn(form, found, notes);
  const adapterId = adapterOf(found.loras, at.adapters, model, notes);
  if (found.schedule !== null && found.source !== 'northlight') {
    notes.push(`Noise schedule “${found.schedule}”: here it comes from the model’s own configuration.`);
  }
  takeSize(form, found, model, notes);
  takeClipSkip(form, found, model, notes);
  const start = startOf(found, at);
  if (found.denoising !== null && start === null)
    notes.push(
      `It was made from another picture (strength ${found.denoising}), which ${found.own?.start ? 'is not in this project' : 'its file does not hold'}.`,
    );
  if (found.source !== 'northlight') {
    notes.push(
      `A seed of ${SOURCES[found.source]} gives other noise here: expect a picture of the kind, not the same one.`,
    );
  }
  return { source: found.source, facts: factsOf(found), form, start, modelId: matched?.id ?? null, adapterId, notes };
}

/** The picture and the mask that it started from, where both are in this project. */
function startOf({ own }: PictureSettings, { hasPicture }: AtHand): Recalled['start'] {
  if (!own?.start || own.denoising === null) return null;
  const { picture, mask } = own.start;
  return hasPicture(picture) && (mask === null || hasPicture(mask)) ? { picture, mask, strength: own.denoising } : null;
}

/** A number as it is, unless the form refuses it. */
function take(
  form: Recalled['form'],
  key: 'steps' | 'guidanceScale' | 'seed',
  value: number | null,
  notes: string[],
): void {
  if (value === null) return;
  const parsed = generateInput.shape[key].safeParse(value);
  if (parsed.success && parsed.data !== undefined) form[key] = parsed.data;
  else notes.push(`${NAMES[key]} ${value} is beyond what this form takes.`);
}

function takeSize(
  form: Recalled['form'],
  { width, height }: PictureSettings,
  model: Model | undefined,
  notes: string[],
) {
  if (!model || width === null || height === null || (width === model.width && height === model.height)) return;
  const multiple = model.sampling?.sizeMultiple ?? 1;
  if (model.sampling?.freeSize && width % multiple === 0 && height % multiple === 0)
    Object.assign(form, { width, height });
  else notes.push(`Size ${width} × ${height}: “${model.name}” makes ${model.width} × ${model.height} by itself.`);
}

/** For SDXL other programs write 2 and mean the layer that the model reads by itself. */
function takeClipSkip(form: Recalled['form'], found: PictureSettings, model: Model | undefined, notes: string[]): void {
  const { clipSkip, source } = found;
  const xl = model?.family === 'sdxl' && source !== 'northlight';
  form.clipSkip = clipSkip === null || xl || clipSkip > (model?.sampling?.clipSkips ?? 1) ? 1 : clipSkip;
  if (clipSkip === null || clipSkip === form.clipSkip) return;
  if (!xl) notes.push(`Clip skip ${clipSkip} is not taken over: the model’s text encoder does not give that layer.`);
  else if (clipSkip > 2)
    notes.push(`Clip skip ${clipSkip} is not taken over: programs count layers of SDXL differently.`);
}

const NAMES = { steps: 'Steps', guidanceScale: 'Guidance', seed: 'Seed' } as const;

function takeSampler(form: Recalled['form'], found: PictureSettings, model: Model | undefined, notes: string[]): void {
  const { sampler, samplerName } = found;
  if (sampler === null) {
    if (samplerName !== null) notes.push(`The sampler “${samplerName}” does not exist here; the chosen one stays.`);
    return;
  }
  const flow = model?.predictionType === 'flow_velocity';
  form.scheduler = sampler === 'euler' && flow ? 'flow-match-euler' : sampler;
  form.eta = found.own?.eta ?? Number(found.other['Eta DDIM'] ?? (sampler === 'ddpm' ? 1 : 0));
  const learnable = LEARNABLE_SAMPLERS.includes(form.scheduler) && (sampler !== 'ddim' || form.eta > 0);
  if (found.own) form.keepTrajectories = found.own.keepTrajectories;
  else if (!learnable) {
    form.keepTrajectories = false;
    notes.push('“Keep what tuning needs” was switched off: steps of this sampler have no probability to learn from.');
  }
}

/** Which of a batch it was: its noise depends on that. */
function takeOwn(form: Recalled['form'], { own }: PictureSettings, notes: string[]): void {
  if (!own) return;
  const count = generateInput.shape.count.safeParse(own.index + 1);
  if (!count.success || (own.noiseIndex !== own.index && own.noiseIndex !== 0)) {
    notes.push(`It was picture ${own.index + 1} of a larger batch: “Reproduce” makes it again, this form does not.`);
    return;
  }
  form.count = own.index + 1;
  form.shareInitialNoise = own.noiseIndex !== own.index;
  if (own.index > 0) notes.push(`It was picture ${own.index + 1} of its batch, and will be again.`);
}

/** By content, else by name. */
function modelOf(found: PictureSettings, models: readonly Model[], notes: string[]): Model | undefined {
  const { modelName, modelHash } = found;
  const byHash = models.find((m) => isHashOf(modelHash, m.hash));
  if (byHash) return byHash;
  const wanted = modelName === null ? '' : plainName(modelName);
  const byName = models.find((m) => wanted !== '' && [m.name, basename(m.path)].map(plainName).includes(wanted));
  if (byName) {
    // Of a large model the hash is worked out in the background.
    if (found.source === 'northlight' && byName.hash !== '')
      notes.push(`“${byName.name}” has changed since: its files are not those that made the picture.`);
    return byName;
  }
  if (modelName !== null || modelHash !== null) {
    notes.push(`The model “${modelName ?? modelHash}” is not in this project; the chosen one stays.`);
  }
  return undefined;
}

function adapterOf(
  loras: readonly UsedLora[],
  adapters: readonly Adapter[],
  model: Model | undefined,
  notes: string[],
): string | null {
  const usable = adapters.filter((adapter) => adapter.modelId === model?.id);
  let chosen: string | null = null;
  for (const lora of loras) {
    const found =
      usable.find((adapter) => isHashOf(lora.hash, adapter.hash)) ??
      usable.find((adapter) => plainName(adapter.name) === plainName(lora.name));
    if (!found) notes.push(`The adapter “${lora.name}” is not in this project.`);
    else if (lora.weight !== 1)
      notes.push(`The adapter “${found.name}” had weight ${lora.weight}; here it would have 1.`);
    else if (chosen !== null) notes.push(`A second adapter, “${found.name}”, is not taken over.`);
    else chosen = found.id;
  }
  return chosen;
}

/** The start of a SHA-256, as programs shorten it, or the whole. */
const isHashOf = (written: string | null, hash: string) =>
  written !== null && /^[0-9a-f]{10,64}$/i.test(written) && hash.startsWith(written.toLowerCase());

/** A file's name without folder and ending, letters and digits only. */
const plainName = (name: string) =>
  (name.split(/[\\/]/).at(-1) ?? '')
    .replace(/\.(safetensors|ckpt|pt|onnx)$/i, '')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]/gu, '');

function factsOf(found: PictureSettings): Recalled['facts'] {
  const size = found.width !== null && found.height !== null ? `${found.width} × ${found.height}` : null;
  const facts: [string, string | number | null][] = [
    ['Prompt', found.prompt],
    ['Avoid', found.negativePrompt || null],
    ['Model', found.modelName],
    ['Adapters', found.loras.map((lora) => `${lora.name} (${lora.weight})`).join(', ') || null],
    ['Sampler', found.samplerName],
    ['Steps', found.steps],
    ['Guidance', found.guidanceScale],
    ['Seed', found.seed ?? found.other.seed ?? null],
    ['Size', size],
  ];
  return facts.flatMap(([name, value]) => (value === null ? [] : [{ name, value: String(value).slice(0, 2000) }]));
}
