import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type ValueData, valueCollector } from '#pipelines/decoding/value-data.ts';
import { valueLessons } from '#pipelines/decoding/value-lessons.ts';
import { readValueCard, saveValueNetwork } from '#pipelines/decoding/value-network.ts';
import { joinedParts, openValueParts } from '#pipelines/decoding/value-parts.ts';
import { trainValueNetwork, valueTrainingOptions } from '#pipelines/decoding/value-training.ts';
import type { OpenSubject, Subject } from './subjects.ts';

/** The seed of samples to learn from; those of the table count from 1. */
const SEED = 0;
const AT_ONCE = 16;

const folderOf = (out: string, name: string) => join(out, 'values', name.replaceAll('/', '.'));

/**
 * The folder of a subject's value network, which is trained where there is none; states collected before a stop are kept.
 * Its temperature is the spread of the rewards: the table takes the best candidate, for which it does not matter.
 */
export async function valueNetworkOf(
  out: string,
  { name, steps, values }: Subject,
  open: OpenSubject,
  threads: number,
): Promise<string> {
  const folder = folderOf(out, name);
  if (existsSync(join(folder, 'value.json'))) return folder;
  const { updates, ...lessons } = values;
  const { count, states: statesEach, candidates, led } = valueLessons.parse(lessons);
  const identity = `${open.modelHash} ${open.reward} ${steps} ${SEED} ${statesEach} ${candidates} ${led}`;
  const kept = openValueParts(join(folder, 'states'), identity);
  const parts: ValueData[] = [];
  for (let first = 0; first < count; first += AT_ONCE) {
    let part = kept.read(first / AT_ONCE);
    if (part === null) {
      const collected: ValueData[] = [];
      const collector = valueCollector({ statesEach, candidates, led }, (data) => collected.push(data));
      await open.draw(collector, SEED, first, AT_ONCE, { denoiser: 0, reward: 0, value: 0, gradient: 0 });
      part = joinedParts(collected);
      kept.write(first / AT_ONCE, part);
      process.stderr.write(`${name}: ${first + AT_ONCE} of ${count} samples for its value network\n`);
    }
    parts.push(part);
  }
  const { modelHash, reward } = open;
  const network = await trainValueNetwork(
    joinedParts(parts),
    { modelHash, reward },
    { ...valueTrainingOptions.parse({ updates }), seed: SEED, threads },
  );
  saveValueNetwork(folder, network);
  return folder;
}

/** How well the value network of a subject knows samples that it did not learn from; null where there is none. */
export function valueNetworkNote(out: string, { name }: Subject): string | null {
  const folder = folderOf(out, name);
  if (!existsSync(join(folder, 'value.json'))) return null;
  const { choice, correlation, guessCorrelation } = readValueCard(folder);
  const thirds = (numbers: readonly number[] | null) => numbers?.map((r) => r.toFixed(2)).join(', ') ?? 'not known';
  return (
    `Value network of ${name}, on samples it did not learn from, by thirds of the way: choosing by it gains ${thirds(choice)} of what choosing by ` +
    `the model's guesses gains; correlation with final rewards ${thirds(correlation)}, of those guesses ${thirds(guessCorrelation)}.`
  );
}
