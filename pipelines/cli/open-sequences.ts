import { NorthlightError } from '#models/errors.ts';
import { openSequenceModel } from '#models/families/sequence-model.ts';
import type { FoundFolder } from '#models/families/types.ts';
import { sequenceSource } from '#pipelines/bank/sequence-source.ts';
import type { BankSource } from '#pipelines/bank/source.ts';
import { classIdOf, loadSequencePipeline, withDefaults } from '#pipelines/sampling/generate-sequences.ts';
import { hashAdapter } from '#pipelines/sampling/used-adapters.ts';
import type { Io } from './command.ts';
import { parseLora } from './lora-option.ts';
import type { MakeOptions } from './make-options.ts';

/** Opens a model of sequences with what the command line says of it. Close the pipeline. */
export async function openSequences(found: FoundFolder, options: MakeOptions, io: Io) {
  const model = openSequenceModel(found);
  const asked = {
    scheduler: options.scheduler,
    steps: options.steps,
    eta: options.eta ?? 0,
    guidanceScale: options.guidance ?? 1,
    seed: options.seed,
    classId: classIdOf(model, options.class),
    length: options.length ?? null,
  };
  io.progress('opening the model', 0, 0);
  const session = {
    ...(options.threads ? { threads: options.threads } : {}),
    ...(options.provider !== 'auto' ? { provider: options.provider } : {}),
  };
  const adapters = options.lora.map(parseLora);
  const pipeline = await loadSequencePipeline(model, { ...session, adapters });
  const settings = withDefaults(pipeline, asked);
  if (options.steps !== undefined && settings.scheduler === 'masked-one-at-a-time') {
    io.note('masked-one-at-a-time takes one step per position; --steps is not used.');
  }
  if (options.eta !== undefined && model.kind === 'masked') {
    io.note('A masked model has no noise that --eta could scale; it is not used.');
  }
  const provider = options.provider === 'auto' ? ('cpu' as const) : options.provider;
  const named = adapters.map(({ path, weight }) => ({ weight, sha256: hashAdapter(path) }));
  const source = (): Promise<BankSource> => sequenceSource(pipeline, settings, { adapters: named, provider });
  return { model, pipeline, settings, session, provider, adapters: named, source };
}

/** What makes sense for pictures only is refused, not ignored. @throws {NorthlightError} `usage`. */
export function refuseForSequences(given: readonly (readonly [flag: string, isGiven: boolean])[]): void {
  const [first] = given.filter(([, isGiven]) => isGiven);
  if (first === undefined) return;
  const instead = first[0] === '--prompt' ? 'Say what to make with --class.' : 'Leave it out.';
  throw new NorthlightError('usage', `${first[0]} does not apply to models of sequences.`, instead);
}

/** Of what all commands that make samples take, that which only pictures have. */
export const pictureOnly = (options: MakeOptions): [string, boolean][] => [
  ['--prompt', options.prompt.length > 0 || options.prompts !== undefined],
  ['--negative', options.negative !== ''],
  ['--size', options.size !== undefined],
  ['--clip-skip', options.clipSkip > 1],
];
