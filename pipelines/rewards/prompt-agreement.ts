import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { createSession, type SessionOptions } from '#models/runtime/session.ts';
import { f32 } from '#models/tensor/tensor.ts';
import { resizeRgb } from '#pipelines/images/images.ts';
import { ATTRIBUTE_NAMES, type AttributeName, facesViewer } from '#pipelines/recipes/flora/attributes.ts';
import { parseCaption } from '#pipelines/recipes/flora/captions.ts';
import {
  columnsOf,
  type JudgedAttribute,
  readLogits,
  type SeenAttributes,
} from '#pipelines/recipes/flora-judge/layout.ts';
import { readRewardManifest } from './manifest.ts';
import type { ImageItem, Reward, RewardItem } from './types.ts';

/** The judge that ships with the program. */
export const bundledJudge: string = join(
  import.meta.dirname,
  '..',
  '..',
  'models',
  'bundled',
  'flora-judge',
  'model.onnx',
);

export const promptAgreement = {
  name: 'prompt-agreement',
  description:
    'Share of what a flower prompt asks for (species, colours, petals, leaves, setting, background) that a classifier sees, 0…1.',
  options: z.strictObject({
    model: z.string().min(1).default(bundledJudge).describe('ONNX classifier with a reward.json beside it'),
    open: z.coerce.number().min(0).max(1).optional().describe('score where a prompt asks for nothing'),
  }),
};

/** What a prompt asked for and what the picture shows. */
export interface AttributeReading {
  readonly prompt: string;
  readonly requested: Readonly<Partial<Record<AttributeName, string>>>;
  /** Null where the judge sees a flower from the side, whose petals and centre do not show. */
  readonly recognised: SeenAttributes;
  /** The requested attributes that were recognised. */
  readonly agreed: readonly AttributeName[];
  /** `agreed` of `requested`, 0…1; null when the prompt asks for nothing. */
  readonly share: number | null;
}

/**
 * What a prompt asks for that a picture can show: a flower seen from the side has no petals to count and no centre, so
 * these are left out when the prompt names such a species.
 */
export function requestedAttributes(prompt: string): Partial<Record<AttributeName, string>> {
  const asked = parseCaption(prompt);
  const side = asked.species !== undefined && !facesViewer(asked.species);
  const requested: Partial<Record<AttributeName, string>> = {};
  for (const name of ATTRIBUTE_NAMES) {
    const value = asked[name];
    if (value && !(side && (name === 'petalCount' || name === 'centreColour'))) requested[name] = value;
  }
  return requested;
}

/**
 * Reads pictures and compares them with their prompts, for reports. Items of prompts that ask for nothing are read too.
 * @throws {NorthlightError} what {@link createPromptAgreement} throws, but for `reward/nothing-asked`.
 */
export async function readAttributes(
  items: readonly RewardItem[],
  options: { readonly model?: string } & SessionOptions = {},
): Promise<AttributeReading[]> {
  const { model = bundledJudge, ...session } = options;
  const judge = await openJudge(model, session);
  try {
    return await judge.read(items);
  } finally {
    await judge.close();
  }
}

/**
 * The reward: the share of the requested attributes that the judge recognises. A prompt that asks for nothing it knows has no
 * share; it is refused, or with `open` gets that score.
 * @throws {NorthlightError} `reward/missing`, `reward/manifest`, `reward/output` and `session/…`; scoring throws `reward/kind`
 *   and `reward/nothing-asked`.
 */
export async function createPromptAgreement(
  options: z.output<typeof promptAgreement.options>,
  session: SessionOptions = {},
): Promise<Reward> {
  const judge = await openJudge(options.model, session);
  return {
    name: promptAgreement.name,
    higherIsBetter: true,
    kinds: ['image'],
    async score(items) {
      const readings = await judge.read(items);
      return Float32Array.from(readings, (reading, i) => reading.share ?? options.open ?? refuse(reading.prompt, i));
    },
    close: judge.close,
  };
}

function refuse(prompt: string, index: number): never {
  throw new NorthlightError(
    'reward/nothing-asked',
    `The prompt of item ${index}, "${prompt}", asks for nothing that the judge of prompt agreement knows.`,
    'Name a species, colour, petals, leaves, setting or background, or give such prompts a score: prompt-agreement:open=1',
  );
}

interface Judge {
  read(items: readonly RewardItem[]): Promise<AttributeReading[]>;
  close(): Promise<void>;
}

const LARGEST_BATCH = 32;
const attributes = z.partialRecord(z.enum(ATTRIBUTE_NAMES), z.array(z.string().min(1)).min(2));

async function openJudge(path: string, options: SessionOptions): Promise<Judge> {
  if (!existsSync(path)) {
    throw new NorthlightError(
      'reward/missing',
      `The classifier of prompt agreement, ${path}, does not exist.`,
      'Check the path after "prompt-agreement:model=", or make it: northlight train flora-judge --out DIR',
    );
  }
  const { layout, size } = describeJudge(path);
  const session = await createSession(path, options);
  const [input] = session.inputs;
  const [output] = session.outputs;
  return {
    async read(items) {
      const readings: AttributeReading[] = [];
      for (let from = 0; from < items.length; from += LARGEST_BATCH) {
        const batch = items.slice(from, from + LARGEST_BATCH).map((item, i) => pictureOf(item, from + i));
        const image = await stack(batch, size);
        const logits = (await session.run({ [input!.name]: f32([batch.length, 3, ...size], image) }))[output!.name]!;
        const columns = columnsOf(layout);
        if (logits.dims.length !== 2 || logits.dims[1] !== columns) {
          throw new NorthlightError(
            'reward/output',
            `The classifier ${path} gave [${logits.dims.join(', ')}] for ${batch.length} pictures, not [${batch.length}, ${columns}].`,
            'Correct "attributes" in reward.json beside it.',
          );
        }
        for (const [i, { prompt }] of batch.entries()) {
          readings.push(compare(prompt, readLogits(layout, logits.data as Float32Array, i * columns)));
        }
      }
      return readings;
    },
    close: () => session.release(),
  };
}

/** The columns of the logits and the size of the picture, as `reward.json` says. */
function describeJudge(path: string): { layout: readonly JudgedAttribute[]; size: readonly [number, number] } {
  const manifest = readRewardManifest(path);
  const parsed = attributes.safeParse(manifest.attributes);
  const known = parsed.success ? Object.entries(parsed.data) : [];
  if (known.length === 0) {
    throw new NorthlightError(
      'reward/manifest',
      `reward.json beside ${path} does not say which attributes its logits are of.`,
      `Write "attributes": { "species": ["daisy", …], … } with names among ${ATTRIBUTE_NAMES.join(', ')}.`,
    );
  }
  const layout = known.map(([name, values]) => ({ name: name as AttributeName, values: values! }));
  return { layout, size: manifest.size ?? [64, 64] };
}

/** An attribute that this judge does not read cannot be asked of it. */
function compare(prompt: string, recognised: SeenAttributes): AttributeReading {
  const all = Object.entries(requestedAttributes(prompt)) as [AttributeName, string][];
  const asked = all.filter(([name]) => recognised[name] !== undefined);
  const agreed = asked.filter(([name, value]) => recognised[name] === value).map(([name]) => name);
  return {
    prompt,
    requested: Object.fromEntries(asked),
    recognised,
    agreed,
    share: asked.length === 0 ? null : agreed.length / asked.length,
  };
}

function pictureOf(item: RewardItem, index: number): ImageItem {
  if (item.kind === 'image') return item;
  throw new NorthlightError(
    'reward/kind',
    `Item ${index} is a sequence, and the reward "prompt-agreement" scores pictures.`,
    'Choose a reward of sequences.',
  );
}

/** `[B, 3, H, W]` in 0…1. */
async function stack(
  pictures: readonly ImageItem[],
  [height, width]: readonly [number, number],
): Promise<Float32Array> {
  const plane = height * width;
  const image = new Float32Array(pictures.length * 3 * plane);
  for (const [b, item] of pictures.entries()) {
    const fits = item.width === width && item.height === height;
    const rgb = fits ? item.rgb : await resizeRgb(item.rgb, item.width, item.height, width, height, 'cubic');
    for (let p = 0; p < plane; p++) {
      for (let c = 0; c < 3; c++) image[(b * 3 + c) * plane + p] = rgb[p * 3 + c]! / 255;
    }
  }
  return image;
}
