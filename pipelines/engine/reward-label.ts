import { basename, dirname } from 'node:path';
import { parseOnnxSpec } from '#pipelines/rewards/onnx-spec.ts';

/**
 * A reward as a person would call it: a scorer by its file or, where that is called model, by its folder, and by the output and column that
 * were asked for; never by a path.
 */
export function rewardLabel(spec: string): string {
  if (!spec.startsWith('onnx:')) return spec;
  const { path, output, column } = parseOnnxSpec(spec.slice('onnx:'.length));
  const file = basename(path, '.onnx');
  const name = file === 'model' ? basename(dirname(path)) : file;
  const which = [output, column].filter(Boolean).join(' ');
  return which === '' ? name : `${name}: ${which}`;
}

/** Scores by what their rewards are called. */
export const labelled = (scores: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(scores).map(([reward, value]) => [rewardLabel(reward), value]));

/** What is followed: one reward by its name, several as `sum(gc,cpg@0.5)`. */
export function followedLabel({
  rewards,
  combine,
}: {
  readonly rewards: readonly { readonly reward: string; readonly weight: number }[];
  readonly combine: string;
}): string {
  const names = rewards.map(({ reward, weight }) => `${rewardLabel(reward)}${weight === 1 ? '' : `@${weight}`}`);
  return names.length === 1 ? names[0]! : `${combine}(${names.join(',')})`;
}
