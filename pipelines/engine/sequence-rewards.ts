import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';

interface Listed {
  readonly name: string;
  readonly description: string;
  /** Networks have a slope. */
  readonly graph?: true;
  /** Absent: true. */
  readonly higherIsBetter?: boolean;
}

/** Rewards of sequences that ship: networks in `bundled` first, then those that need nothing but their name. */
export async function sequenceRewardsToList(bundled: string): Promise<readonly Listed[]> {
  return [...scorersIn(bundled), ...(await builtIn())];
}

/** What `reward.json` says of a scorer of sequences. */
const scorer = z.object({
  name: z.string(),
  alphabet: z.string(),
  outputs: z.array(z.string()).default([]),
  outputIndex: z.int().default(0),
  higherIsBetter: z.boolean().default(true),
});

/** Networks that score sequences, in folders of their own with a `reward.json` that names their alphabet. */
function scorersIn(folder: string): Listed[] {
  let names: string[];
  try {
    names = readdirSync(folder).sort();
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    const model = join(folder, name, 'model.onnx');
    const manifest = join(folder, name, 'reward.json');
    if (!existsSync(model) || !existsSync(manifest)) return [];
    const parsed = scorer.safeParse(JSON.parse(readFileSync(manifest, 'utf8')));
    if (!parsed.success) return [];
    const { outputs, outputIndex, higherIsBetter } = parsed.data;
    const network = { graph: true, higherIsBetter } as const;
    const said = `What the network ${parsed.data.name} says`;
    const of = outputs[outputIndex];
    const others = outputs.filter((_, column) => column !== outputIndex);
    return [
      { ...network, name: `onnx:${model}`, description: `${said}${of ? ` of ${of}` : ''}.` },
      ...others.map((column) => {
        return { ...network, name: `onnx:${model},column=${column}`, description: `${said} of ${column}.` };
      }),
    ];
  });
}

/** Loaded when asked for, as those of pictures. */
async function builtIn(): Promise<readonly Listed[]> {
  const { sequenceRewards } = await import('#pipelines/rewards/sequences/index.ts');
  return [...sequenceRewards.values()].filter(({ options, open }) => {
    const given = options.safeParse({});
    if (!given.success) return false;
    try {
      open(given.data);
      return true;
    } catch {
      return false;
    }
  });
}

/** Sources of rewards that run programs; they are for the command line, where a person sees what is run. */
const PROGRAMS = /^(command|module):/;

/**
 * Opens a reward for a moment, so that a wrong one is refused before a job waits for its turn. A network is opened by the job alone.
 * @throws {NorthlightError} `reward/…`.
 */
export async function refuseSequenceReward(spec: string): Promise<void> {
  if (PROGRAMS.test(spec)) {
    throw new NorthlightError(
      'reward/program',
      'Rewards that are programs are not started from the window.',
      'Use them on the command line: northlight sample --reward.',
    );
  }
  if (spec.startsWith('onnx:')) return;
  const { createReward } = await import('#pipelines/rewards/index.ts');
  const reward = await createReward(spec);
  const { kinds } = reward;
  await reward.close();
  if (kinds === undefined || kinds.includes('sequence')) return;
  throw new NorthlightError(
    'reward/kind',
    `The reward "${spec}" scores pictures, not sequences.`,
    'Choose a reward of sequences.',
  );
}
