import type { z } from 'zod';
import type { Provider } from '#models/runtime/session.ts';
import type { RunPlan } from '#pipelines/runs/run-plan.ts';

/** A finished sample that a comparison was about. */
export interface ComparedSample {
  readonly hash: string;
  readonly trajectoryPath: string;
  readonly prompt: string;
}

export interface PreferencePair {
  readonly winner: ComparedSample;
  readonly loser: ComparedSample;
}

/** What an algorithm is given: where to work, what to learn from, and how to talk. */
export interface FinetuneTask<C> {
  readonly runDirectory: string;
  readonly modelPath: string;
  readonly config: C;
  readonly pairs: readonly PreferencePair[];
  /** Prompts of the fixed-seed sample strip. */
  readonly stripPrompts: readonly string[];
  readonly threads?: number | undefined;
  /** What the training graph shall run on; `auto`: what measures fastest here and agrees with the CPU. Default: the CPU. */
  readonly provider?: Provider | 'auto' | undefined;
  progress(stage: string, done: number, total: number): void;
  /** Told once, before the first update: what the run will take. */
  planned(plan: RunPlan): void;
  metrics(step: number, values: Record<string, number>): void;
  strip(step: number, pictures: readonly { prompt: string; png: Buffer }[]): void;
  /** Asked between updates. `stop` ends without an adapter, to be resumed; `keep` writes the adapter as it is. */
  request(): 'run' | 'stop' | 'keep';
}

/** What an estimate of a run is made from. */
export interface EstimateTask<C> {
  readonly modelPath: string;
  readonly config: C;
  /** Of any of the compared pictures. */
  readonly trajectoryPath: string;
  /** Pictures of a row of the sample strip. */
  readonly stripPrompts: number;
  readonly threads?: number | undefined;
  readonly provider?: Provider | 'auto' | undefined;
}

export interface FinetuneResult {
  readonly adapterPath: string;
  readonly hash: string;
  readonly rank: number;
  readonly steps: number;
  /** Largest difference of the output between the file, read back, and the live adapter. */
  readonly verifiedDifference: number;
}

/** One algorithm. Its schema is its form in the window and its flags. `run` returns null when it was told to stop. */
export interface Algorithm<S extends z.ZodObject = z.ZodObject> {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly source: string;
  readonly schema: S;
  run(task: FinetuneTask<z.output<S>>): Promise<FinetuneResult | null>;
  /** Memory and time before anything runs. @throws {NorthlightError} `train/does-not-fit` */
  estimate(task: EstimateTask<z.output<S>>): Promise<RunPlan>;
}

export function defineAlgorithm<S extends z.ZodObject>(algorithm: Algorithm<S>): Algorithm<S> {
  return algorithm;
}
