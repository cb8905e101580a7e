import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join, parse, resolve } from 'node:path';
import type { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { sha256File } from '#models/files.ts';
import { jobs } from '#pipelines/engine/jobs/index.ts';
import { type TunePayload, tuneResult } from '#pipelines/engine/jobs/payloads.ts';
import { readRunProvider } from '#pipelines/finetune/training-provider.ts';
import { decidedPairs, parseComparisonLog, standingComparisons } from '#pipelines/preferences/index.ts';
import { readMetrics } from '#pipelines/runs/metrics-log.ts';
import { readTrajectory } from '#pipelines/sampling/trajectory.ts';
import { findModel } from './bundled.ts';
import type { CommonOptions, Io, WithSettings } from './command.ts';
import type { TuneResult, tuneOptions } from './tune-options.ts';

type Options = z.output<typeof tuneOptions> & CommonOptions & WithSettings & { readonly project: string };

const STRIP_PROMPTS = 4;

/**
 * `northlight tune`: the engine's own tuning job, in this process. The run's name follows from its inputs, so the same
 * command goes on where it was stopped.
 */
export async function runTune(options: Options, io: Io): Promise<TuneResult> {
  if (options.reward.length > 0 || options.prompts !== undefined) {
    throw new NorthlightError(
      'usage',
      `${options.algorithm} learns from comparisons, not from --reward or --prompts.`,
      'Give --comparisons FILE.',
    );
  }
  if (options.comparisons === undefined) {
    throw new NorthlightError(
      'usage',
      '--comparisons is missing.',
      'Give a file of comparisons (JSON lines) between pictures made with: sample --keep-trajectories',
    );
  }
  const project = resolve(options.project);
  const config = {
    ...options.set,
    ...(options.steps ? { steps: options.steps } : {}),
    ...(options.set.seed === undefined ? { seed: options.seed } : {}),
  };
  const pairs = readPairs(resolve(options.comparisons), project);
  const modelPath = findModel(options.model);
  const identity = createHash('sha256').update(
    JSON.stringify({ algorithm: options.algorithm, modelPath, config, pairs }),
  );
  const runId = `${options.algorithm}-${identity.digest('hex').slice(0, 10)}`;
  const directory = join(project, 'runs', runId);
  for (const folder of ['samples', 'jobs']) mkdirSync(join(project, folder), { recursive: true });
  const payload: TunePayload = {
    runId,
    runDirectory: directory,
    algorithm: options.algorithm,
    modelPath,
    config,
    pairs,
    stripPrompts: [...new Set(pairs.map((p) => p.winner.prompt))].slice(0, STRIP_PROMPTS),
    provider: options.provider,
  };
  io.whenStopped(`The run is kept in ${directory}. The same command goes on from its last checkpoint.`);
  const result = await jobs.tune(payload, {
    jobId: runId,
    project,
    threads: options.threads,
    progress: io.progress,
    event() {},
    control: {
      get request() {
        return io.signal.aborted ? ('cancel' as const) : ('run' as const);
      },
    },
  });
  io.signal.throwIfAborted();
  const { adapterPath, steps } = tuneResult.parse(result);
  const provider = readRunProvider(directory) ?? { provider: 'cpu', because: '' };
  return { runId, directory, steps, adapter: adapterPath, provider, metrics: firstAndLast(directory) };
}

function firstAndLast(directory: string): Record<string, { first: number; last: number }> {
  const out: Record<string, { first: number; last: number }> = {};
  for (const { values } of readMetrics(directory)) {
    for (const [name, value] of Object.entries(values)) out[name] = { first: out[name]?.first ?? value, last: value };
  }
  return out;
}

/** Items of a comparison file are pictures: paths (relative to the file) or hashes of pictures in the project. */
function readPairs(file: string, project: string): TunePayload['pairs'] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    throw new NorthlightError(
      'usage',
      `The comparison file ${file} cannot be read.`,
      'Check the path given with --comparisons.',
    );
  }
  const known = new Map<string, TunePayload['pairs'][number]['winner']>();
  const sampleOf = (item: string) => {
    const seen = known.get(item);
    if (seen) return seen;
    const picture = resolve(dirname(file), item);
    const isHash = /^[0-9a-f]{64}$/.test(item);
    const beside = join(dirname(picture), 'trajectories', `${parse(picture).name}.safetensors`);
    const hash = isHash ? item : existsSync(picture) ? sha256File(picture) : '';
    const inProject = join(project, 'trajectories', `${hash}.safetensors`);
    const trajectoryPath = !isHash && existsSync(beside) ? beside : inProject;
    if (hash === '' || !existsSync(trajectoryPath)) {
      throw new NorthlightError(
        'tune/no-trajectory',
        `The denoising steps of "${item}" are not kept (looked for ${trajectoryPath}).`,
        'Make the pictures with: northlight sample … --keep-trajectories',
      );
    }
    const sample = { hash, trajectoryPath, prompt: readTrajectory(trajectoryPath).origin.prompt };
    known.set(item, sample);
    return sample;
  };
  return standingComparisons(parseComparisonLog(text, file))
    .flatMap(decidedPairs)
    .map(({ winner, loser }) => ({ winner: sampleOf(winner), loser: sampleOf(loser) }));
}
