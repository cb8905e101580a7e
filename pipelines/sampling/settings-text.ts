import { createHash } from 'node:crypto';
import { programVersion } from '#models/version.ts';
import { writeA1111 } from '#pipelines/images/settings/a1111.ts';
import { type NorthlightSettings, northlightSettings } from '#pipelines/images/settings/northlight-settings.ts';
import { a1111Sampler } from '#pipelines/images/settings/sampler-names.ts';
import type { SchedulerConfig } from '#pipelines/schedulers/index.ts';

/** What one picture was made from. */
export interface PictureOrigin extends Omit<NorthlightSettings, 'version' | 'schedulerConfigHash'> {
  readonly schedulerConfig: SchedulerConfig;
}

/**
 * The texts of a picture file: `parameters` as other programs read it, and `northlight` with everything that makes the
 * picture again. Neither holds a path.
 */
export function settingsText(origin: PictureOrigin): { parameters: string; northlight: string } {
  const { schedulerConfig, ...rest } = origin;
  const own: NorthlightSettings = { version: programVersion(), ...rest, schedulerConfigHash: hashOf(schedulerConfig) };
  // Always the same keys in the same order: the same picture is the same file.
  const ordered = (Object.keys(northlightSettings.shape) as (keyof NorthlightSettings)[]).map((key) => [key, own[key]]);
  return { parameters: parametersText(origin), northlight: JSON.stringify(Object.fromEntries(ordered)) };
}

function hashOf(config: SchedulerConfig): string {
  const sorted = Object.fromEntries(Object.entries(config).sort(([a], [b]) => (a < b ? -1 : 1)));
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex');
}

const short = (hash: string) => hash.slice(0, 10);

/** Keys in the order of A1111's own; those that only we have come before `Version`. */
function parametersText(o: PictureOrigin): string {
  const pairs = new Map<string, string>([
    ['Steps', String(o.steps)],
    ['Sampler', a1111Sampler(o.scheduler)],
    ['Schedule type', scheduleType(o.schedulerConfig)],
    ['CFG scale', String(o.guidanceScale)],
    ['Seed', String(o.seed)],
    ['Size', `${o.width}x${o.height}`],
    ['Model hash', short(o.model.hash)],
    ['Model', oneLine(o.model.name)],
  ]);
  if (o.denoising !== null) pairs.set('Denoising strength', String(o.denoising));
  if (o.clipSkip !== 1) pairs.set('Clip skip', String(o.clipSkip));
  if (o.scheduler === 'ddim' && o.eta !== 0) pairs.set('Eta DDIM', String(o.eta));
  // Left out it would mean the noise of a graphics card; ours is a function of (seed, index).
  pairs.set('RNG', 'Northlight');
  pairs.set('Model hash of', 'ONNX folder');
  pairs.set('Picture index', String(o.index));
  if (o.noiseIndex !== o.index) pairs.set('Noise index', String(o.noiseIndex));
  if (o.adapters.length > 0) {
    pairs.set('Lora hashes', o.adapters.map((a) => `${listName(a.name)}: ${short(a.hash)}`).join(', '));
    pairs.set('Lora weights', o.adapters.map((a) => `${listName(a.name)}: ${a.weight}`).join(', '));
  }
  pairs.set('Version', `Northlight ${programVersion()}`);
  // A text chunk ends at a NUL.
  const clean = (text: string) => text.replaceAll('\0', '');
  return writeA1111({ prompt: clean(o.prompt), negativePrompt: clean(o.negativePrompt), pairs });
}

function scheduleType(config: SchedulerConfig): string {
  if (config.use_karras_sigmas) return 'Karras';
  if (config.use_exponential_sigmas) return 'Exponential';
  return config.use_beta_sigmas ? 'Beta' : 'Automatic';
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: a name in one line, without what a text chunk cannot hold.
const oneLine = (name: string) => name.replace(/[\0-\x1f]+/g, ' ');

/** Inside a list of `name: value` neither of its two signs can stand in a name. */
const listName = (name: string) => oneLine(name).replace(/[,:]/g, '_');
