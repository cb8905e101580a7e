import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { NorthlightError } from '#models/errors.ts';
import { rememberedModelHash } from '#models/families/index.ts';
import { latentDims } from '#models/families/model-folder.ts';
import { fileError } from '#models/files.ts';
import type { Provider } from '#models/runtime/session.ts';
import { numel } from '#models/tensor/tensor.ts';
import { programVersion } from '#models/version.ts';
import { amplifiedDifference, type PictureDifference, pictureDifference } from '#pipelines/images/difference.ts';
import { decodeImage, encodePng } from '#pipelines/images/images.ts';
import { type NorthlightSettings, readPictureSettings } from '#pipelines/images/settings/index.ts';
import { generatePictures, type Picture, type StepReport, startHashOf } from './generate.ts';
import { readStart, type StartFiles } from './initial-picture.ts';
import { type ImagePipeline, loadPipeline, sizeOf } from './pipeline.ts';

export interface ReproduceOptions {
  /** One of our pictures. */
  readonly picture: string;
  readonly modelPath: string;
  /** Adapter files at hand, by the SHA-256 that pictures name them by. */
  readonly adapters: ReadonlyMap<string, string>;
  /** Path of a start picture or mask by its SHA-256; null where it is not at hand. */
  readonly pictureOf?: (hash: string) => string | null;
  readonly provider?: Provider | undefined;
  readonly threads?: number | undefined;
  readonly onStep?: (report: StepReport) => void;
  readonly checkpoint?: () => void;
}

export interface Reproduction {
  /** `file`: the same bytes; `pixels`: the same picture in another file. */
  readonly identical: 'file' | 'pixels' | 'no';
  readonly difference: PictureDifference;
  /** What is not as it was, and may be why they differ. */
  readonly notes: readonly string[];
  /** SHA-256 of the two files. */
  readonly originalHash: string;
  readonly hash: string;
  readonly png: Buffer;
  /** The difference, amplified; null where there is none. */
  readonly amplified: { readonly png: Buffer; readonly factor: number } | null;
}

/**
 * Makes one of our pictures again from the settings in its file, and says how far it is from the original.
 * @throws {NorthlightError} `reproduce/…` where it cannot be made: no settings, an adapter that is gone, a start picture
 * or mask that is not at hand; and what the model, the runtime or the picture name.
 */
export async function reproducePicture(options: ReproduceOptions): Promise<Reproduction> {
  const { picture } = options;
  const own = (await readPictureSettings(picture))?.own ?? null;
  if (!own) {
    throw new NorthlightError(
      'reproduce/no-settings',
      `${picture} does not hold the settings that Northlight writes into its pictures.`,
      'Choose a picture that Northlight made, as it was written: other programs often drop what is inside.',
    );
  }
  if (own.steering) {
    throw new NorthlightError(
      'reproduce/steered',
      `The picture was steered by "${own.steering.decoder}" with the reward "${own.steering.reward}".`,
      'Make it again with the command in the manifest beside it: a reward is not kept in a picture.',
    );
  }
  const start = startFiles(own, options);
  const adapters = own.adapters.map((adapter) => ({
    path: adapterFile(adapter, options.adapters),
    weight: adapter.weight,
  }));
  const original = readBytes(picture);
  const provider = options.provider ?? 'cpu';
  const pipeline = await loadPipeline(options.modelPath, {
    adapters,
    provider,
    clipSkip: own.clipSkip,
    ...(options.threads ? { threads: options.threads } : {}),
  });
  try {
    const again = await makeAgain(own, start, pipeline, options);
    const [a, b] = [await decodeImage(original), { data: again.rgb, width: again.width, height: again.height }];
    const difference = pictureDifference(a, b);
    const sameFile = again.png.equals(original);
    const { rgb, factor } = amplifiedDifference(a, b);
    return {
      identical: sameFile ? 'file' : difference.max === 0 ? 'pixels' : 'no',
      difference,
      notes: await notesOn(own, provider, pipeline),
      originalHash: createHash('sha256').update(original).digest('hex'),
      hash: again.hash,
      png: again.png,
      amplified: difference.max === 0 ? null : { png: await encodePng(rgb, a.width, a.height), factor },
    };
  } finally {
    await pipeline.close();
  }
}

function startFiles({ start, denoising }: NorthlightSettings, { pictureOf }: ReproduceOptions): StartFiles | null {
  if (denoising === null) return null;
  const find = (hash: string | null | undefined, what: string): string => {
    const path = hash ? (pictureOf?.(hash) ?? null) : null;
    if (path !== null) return path;
    throw new NorthlightError(
      'reproduce/start-missing',
      `The picture started from another one, and ${what} (SHA-256 ${hash?.slice(0, 10) ?? 'unknown'}…) is not here.`,
      'Give its file with --image or --mask to: northlight reproduce',
    );
  };
  const picture = find(start?.picture, 'that one');
  return { picture, strength: denoising, ...(start?.mask ? { mask: find(start.mask, 'the mask') } : {}) };
}

function adapterFile(adapter: NorthlightSettings['adapters'][number], known: ReadonlyMap<string, string>): string {
  const path = known.get(adapter.hash);
  if (path !== undefined && existsSync(path)) return path;
  throw new NorthlightError(
    'reproduce/adapter-missing',
    `The adapter "${adapter.name}" (SHA-256 ${adapter.hash.slice(0, 10)}…) that made this picture is not here.`,
    'Put its file back, or give it with --lora.',
  );
}

async function makeAgain(
  own: NorthlightSettings,
  files: StartFiles | null,
  pipeline: ImagePipeline,
  options: ReproduceOptions,
): Promise<Picture> {
  const pictures = generatePictures({
    pipeline,
    // What was decoded whole is decoded whole again, whatever `auto` would choose.
    settings: { ...own, tile: own.tile ?? 'off' },
    ...(files ? { start: await readStart(files, sizeOf(pipeline.folder, own)) } : {}),
    requests: [{ prompt: own.prompt, index: own.index, noiseIndex: own.noiseIndex }],
    ...(options.onStep ? { onStep: options.onStep } : {}),
    ...(options.checkpoint ? { checkpoint: options.checkpoint } : {}),
  });
  const first = await pictures.next();
  if (first.done) throw new Error('No picture was made of one request.');
  return first.value;
}

async function notesOn(own: NorthlightSettings, provider: string, { folder, model }: ImagePipeline): Promise<string[]> {
  const notes: string[] = [];
  const modelHash = await rememberedModelHash(folder.path);
  const size = numel(latentDims(model, sizeOf(folder, own)));
  if (own.model.hash !== modelHash) {
    notes.push(
      `The model is another one: the picture was made by "${own.model.name}" with SHA-256 ${own.model.hash.slice(0, 10)}…, ` +
        `this folder has ${modelHash.slice(0, 10)}….`,
    );
  }
  if (startHashOf(own, own, size) !== own.startHash) {
    notes.push('It did not start from the noise of its seed, but from that of a file (northlight sample --init).');
  }
  if (own.provider !== provider) {
    notes.push(`It was made on ${own.provider}, and again on ${provider}: results differ in the last digits.`);
  }
  if (own.version !== programVersion()) {
    notes.push(`It was made by Northlight ${own.version}; this is ${programVersion()}.`);
  }
  return notes;
}

function readBytes(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw fileError(error, path, 'read');
  }
}
