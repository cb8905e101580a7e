import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { writeFileAtomic } from '#models/files.ts';
import { guidedPath } from '#pipelines/engine/guided-path.ts';
import type { GuidedRecord, GuidedStep as ToldStep } from '#pipelines/engine/sequence-contract.ts';
import type { GuidedPlace, GuidedStep } from '#pipelines/sampling/guided-step.ts';

/** What is kept of guided sampling, so that a long job cannot fill the disk: about half a megabyte for each of the first samples. */
export const GUIDED_LIMITS = {
  /** Samples of one job. */
  samples: 64,
  /** Steps of one sample, evenly spread; the last is always among them. */
  steps: 64,
  /** Competitors of one step: those that went on first, then the best. */
  rivals: 32,
  /** Places of a tree, in the order in which they were made. */
  places: 256,
  /** Longer sequences are told of without their letters. */
  letters: 2000,
} as const;

/** A step as it is told, and which of those that competed it is about. */
export interface TakenStep<G> extends Omit<ToldStep, 'guesses' | 'sheet'> {
  /** Best guesses of what each becomes, made now. */
  guesses(): (G | null)[];
}

/** Follows guided samples from step to step and writes a file for each when it is finished. */
export interface GuidedLog {
  /** What is to be told of a step; null where nothing was compared, or no more is told. */
  take<G>(index: number, step: number, total: number, told: GuidedStep<G>): TakenStep<G> | null;
  /** Keeps what was told. */
  keep(index: number, told: ToldStep): void;
  /** Writes the file of a sample, if it can. */
  finish(index: number, tree: GuidedRecord['tree'], result: number | null): void;
}

interface Own {
  total: number;
  /** Of each that competed last, its place among the last that were told of; null: not among them. */
  origins: (number | null)[] | null;
  steps: ToldStep[];
}

export function createGuidedLog(
  project: string,
  jobId: string,
  { reward, decoder }: Pick<GuidedRecord, 'reward' | 'decoder'>,
): GuidedLog {
  const open = new Map<number, Own>();
  const ownOf = (index: number): Own => {
    const own = open.get(index) ?? { total: 0, origins: null, steps: [] };
    open.set(index, own);
    return own;
  };
  return {
    take(index, step, total, told) {
      const { values, survivors, parents, standing } = told;
      if (values.length === 0 || index >= GUIDED_LIMITS.samples) return null;
      const own = ownOf(index);
      own.total = total;
      const origins = parents.map((p) => (p === null || own.origins === null ? null : (own.origins[p] ?? null)));
      if (!isTold(step, total)) {
        own.origins = origins;
        return null;
      }
      const places = chosenPlaces(values, new Set(survivors));
      const at = new Map(places.map((place, k) => [place, k]));
      own.origins = values.map((_, place) => at.get(place) ?? null);
      return {
        step,
        values: places.map((place) => values[place]!),
        survivors: survivors.flatMap((place) => at.get(place) ?? []),
        parents: places.map((place) => origins[place]!),
        standing: standing === null ? null : (at.get(standing) ?? null),
        left: values.length - places.length,
        guesses: () => places.map((place) => told.guess(place)),
      };
    },
    keep(index, told) {
      ownOf(index).steps.push(told);
    },
    finish(index, tree, result) {
      const own = open.get(index);
      open.delete(index);
      if (index >= GUIDED_LIMITS.samples || (own === undefined && tree === null)) return;
      const record: GuidedRecord = {
        ...{ index, reward, decoder, tree, result },
        total: own?.total ?? 0,
        steps: own?.steps ?? [],
      };
      const path = guidedPath(project, jobId, index);
      try {
        mkdirSync(dirname(path), { recursive: true });
        writeFileAtomic(path, JSON.stringify(record));
      } catch {
        // How a sample came to be is a courtesy; the sample itself is not lost over it.
      }
    },
  };
}

function isTold(step: number, total: number): boolean {
  const { steps } = GUIDED_LIMITS;
  if (total <= steps || step === total) return true;
  return Math.floor((step * (steps - 1)) / total) > Math.floor(((step - 1) * (steps - 1)) / total);
}

/** In their order: those that went on, and the best of the others. */
function chosenPlaces(values: readonly (number | null)[], survivors: ReadonlySet<number>): number[] {
  const places = [...values.keys()];
  if (places.length <= GUIDED_LIMITS.rivals) return places;
  const worth = (place: number) => values[place] ?? Number.NEGATIVE_INFINITY;
  const better = (a: number, b: number) => Number(worth(b) > worth(a)) - Number(worth(a) > worth(b));
  return places
    .sort((a, b) => Number(survivors.has(b)) - Number(survivors.has(a)) || better(a, b) || a - b)
    .slice(0, GUIDED_LIMITS.rivals)
    .sort((a, b) => a - b);
}

/** The first places of a tree: parents come before their children, so none is without its own. */
export function takeTree<G>(tree: readonly GuidedPlace<G>[]): {
  readonly places: readonly GuidedPlace<G>[];
  readonly left: number;
} {
  const places = tree.slice(0, GUIDED_LIMITS.places);
  return { places, left: tree.length - places.length };
}

/** Letters as they are told. */
export const toldLetters = (letters: string | null): string | null =>
  letters === null || letters.length > GUIDED_LIMITS.letters ? null : letters;
