import { NorthlightError } from '#models/errors.ts';

interface Listed {
  readonly name: string;
  readonly description: string;
}

/** Rewards of sequences that ship and need nothing but their name. Loaded when asked for, as those of pictures. */
export async function sequenceRewardsToList(): Promise<readonly Listed[]> {
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
