import { NorthlightError } from '#models/errors.ts';
import { pictureIdentity, sequenceIdentity } from '#pipelines/bank/identity.ts';
import type { BankIdentity } from '#pipelines/bank/key.ts';
import type { EngineContext } from './context.ts';
import type { ParsedInput } from './contract.ts';
import type { BankPayload } from './jobs/bank-payload.ts';
import { pictureRewards } from './picture-rewards.ts';
import { refuseSequenceReward } from './sequence-rewards.ts';
import { adapterPath, findAdapter } from './views.ts';

export type PlainOf = ParsedInput<'banks.show'>['of'];
type Bare<T> = T extends unknown ? Omit<T, 'count' | 'rewards' | 'key'> : never;
export type PlainPayload = Bare<BankPayload>;

/** The plain samples of what a form says: what they depend on, and what a job is to be told to make them. */
export async function plainOf(
  of: PlainOf,
  { project, catalog }: EngineContext,
): Promise<{ identity: BankIdentity; payload: PlainPayload }> {
  const { modelId, adapterId, ...rest } = of;
  const model = await catalog.usable(modelId);
  const paths = { modelPath: model.path, adapterPath: adapterPath(project, adapterId, modelId) };
  const adapters = adapterId === null ? [] : [{ sha256: findAdapter(project, adapterId).hash, weight: 1 }];
  const common = { model: await catalog.hash(modelId), adapters, provider: 'cpu' };
  if (rest.makes === 'pictures') {
    const { makes, prompts, ...asked } = rest;
    const settings = { ...asked, width: asked.width ?? model.width, height: asked.height ?? model.height };
    const identity = pictureIdentity({ ...common, prompts, settings });
    const payload = { ...paths, makes, prompts: identity.prompts, settings };
    return { identity, payload };
  }
  const { makes, className, ...asked } = rest;
  const known = model.sequence;
  if (known === null) throw notOfSequences(model.name);
  const settings = {
    ...asked,
    scheduler: asked.scheduler ?? known.defaults.scheduler,
    steps: asked.steps ?? known.defaults.steps,
    classId: className === null ? null : classIdIn(known.classes, className),
  };
  const identity = sequenceIdentity({ ...common, className: className ?? '', settings });
  return { identity, payload: { ...paths, makes, settings } };
}

const notOfSequences = (name: string) =>
  new NorthlightError('bank/kind', `"${name}" does not make sequences.`, 'Choose a model of sequences.');

function classIdIn(classes: readonly string[], className: string): number {
  const named = classes.indexOf(className);
  if (named >= 0) return named;
  throw new NorthlightError(
    'sampling/class',
    `The model has no class "${className}".`,
    `It knows ${classes.join(', ')}.`,
  );
}

/** @throws {NorthlightError} `reward/unknown` and what sequences are refused for. */
export async function refuseReward(makes: PlainOf['makes'], reward: string): Promise<void> {
  if (makes === 'sequences') return refuseSequenceReward(reward);
  const known = (await pictureRewards()).map(({ name }) => name);
  if (known.includes(reward)) return;
  throw new NorthlightError('reward/unknown', `There is no reward "${reward}".`, `Use one of ${known.join(', ')}.`);
}
