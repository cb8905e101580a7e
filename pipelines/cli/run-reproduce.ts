import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import { rememberedModelHash } from '#models/families/index.ts';
import { sha256File, writeFileAtomic } from '#models/files.ts';
import { readPictureSettings } from '#pipelines/images/settings/index.ts';
import { reproducePicture } from '#pipelines/sampling/reproduce.ts';
import { hashAdapter } from '#pipelines/sampling/used-adapters.ts';
import { openDb } from '#pipelines/store/db.ts';
import { models } from '#pipelines/store/models.ts';
import { bundledModelsFolder, findModel } from './bundled.ts';
import type { CommonOptions, Io } from './command.ts';

interface Options extends CommonOptions {
  readonly file: string;
  readonly model?: string | undefined;
  readonly lora: readonly string[];
  readonly image?: string | undefined;
  readonly mask?: string | undefined;
  readonly out?: string | undefined;
}

/** `northlight reproduce`: the comparison as an object; the pictures only with `--out`. */
export async function runReproduce(options: Options, io: Io) {
  const { file, out } = options;
  const modelPath = options.model === undefined ? await modelThatMade(options) : findModel(options.model);
  const { png, amplified, difference, ...rest } = await reproducePicture({
    picture: file,
    modelPath,
    adapters: adaptersAtHand(options),
    pictureOf: (hash) => [options.image, options.mask].find((path) => path && sha256File(path) === hash) ?? null,
    ...(options.provider === 'auto' ? {} : { provider: options.provider }),
    ...(options.threads ? { threads: options.threads } : {}),
    onStep: ({ step, total }) => io.progress('making the picture again', step, total),
    checkpoint: () => io.signal.throwIfAborted(),
  });
  if (out !== undefined) {
    mkdirSync(out, { recursive: true });
    writeFileAtomic(join(out, 'reproduction.png'), png);
    if (amplified) writeFileAtomic(join(out, 'difference.png'), amplified.png);
  }
  return { file, ...rest, ...difference, amplification: amplified?.factor ?? null };
}

/** Of the models at hand the one with the hash that the picture names. */
async function modelThatMade({ file, project }: Options): Promise<string> {
  const own = (await readPictureSettings(file))?.own;
  const wanted = own?.model;
  const known = [...bundledModels(), ...(project === undefined ? [] : modelsOf(project))];
  for (const folder of known) {
    if (existsSync(folder) && (await rememberedModelHash(folder)) === wanted?.hash) return folder;
  }
  if (!wanted) {
    throw new NorthlightError(
      'reproduce/no-settings',
      `${file} does not hold the settings that Northlight writes into its pictures.`,
      'Choose a picture that Northlight made, as it was written: other programs often drop what is inside.',
    );
  }
  throw new NorthlightError(
    'reproduce/model-missing',
    `The model "${wanted.name}" (SHA-256 ${wanted.hash.slice(0, 10)}…) that made ${file} is not among those known here.`,
    'Give its folder with --model.',
  );
}

const bundledModels = (): string[] =>
  readdirSync(bundledModelsFolder)
    .map((name) => join(bundledModelsFolder, name))
    .filter((folder) => existsSync(join(folder, 'model_index.json')));

function modelsOf(project: string): string[] {
  const path = join(resolve(project), 'project.sqlite');
  if (!existsSync(path)) return [];
  const db = openDb(path);
  try {
    return models.all(db).map((model) => model.path);
  } finally {
    db.close();
  }
}

function adaptersAtHand({ lora, project }: Options): Map<string, string> {
  const folder = project === undefined ? null : join(resolve(project), 'adapters');
  const ofProject = folder !== null && existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  return new Map([...ofProject, ...lora.map((path) => resolve(path))].map((path) => [hashAdapter(path), path]));
}
