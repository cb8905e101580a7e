import { NorthlightError } from '#models/errors.ts';
import type { SchedulerConfig } from './config.ts';
import { dpmSolverSteps } from './dpm-solver-multistep.ts';
import { eulerSteps } from './euler.ts';
import { flowSteps } from './flow-match.ts';
import { heunSteps } from './heun.ts';
import { initialSigma } from './initial-sigma.ts';
import { lcmSteps } from './lcm.ts';
import { maskedSteps } from './masked.ts';
import type { MaskedSchedulerConfig } from './masked-config.ts';
import { oneAtATimeSteps } from './masked-one-at-a-time.ts';
import { SAMPLERS, type SamplerName, type SequenceSamplerName } from './names.ts';
import { pndmSteps } from './pndm.ts';
import type {
  GaussianSchedule,
  GaussianStep,
  MaskedSchedule,
  MaskedScheduleOptions,
  ScheduleOptions,
} from './types.ts';
import { uniPcSteps } from './unipc.ts';
import { variancePreservingSteps } from './variance-preserving.ts';

export { parseSchedulerConfig, type SchedulerConfig } from './config.ts';
export { type MaskedSchedulerConfig, parseMaskedSchedulerConfig } from './masked-config.ts';
export { SAMPLERS, type SamplerName, SEQUENCE_SAMPLERS, type SequenceSamplerName } from './names.ts';

/** Beginnings of diffusers' class names. */
const BY_CLASS: readonly (readonly [string, SamplerName])[] = [
  ['DDPM', 'ddpm'],
  ['DDIM', 'ddim'],
  ['PNDM', 'pndm'],
  ['EulerAncestral', 'euler-ancestral'],
  ['Euler', 'euler'],
  ['Heun', 'heun'],
  ['DPMSolver', 'dpm-solver-multistep'],
  ['UniPC', 'unipc'],
  ['LCM', 'lcm'],
  ['FlowMatch', 'flow-match-euler'],
];

/** The sampler that a configuration names; for a class we do not have, the plainest one its model can use. */
export function samplerOf(config: SchedulerConfig): SamplerName {
  const known = BY_CLASS.find(([start]) => config._class_name.startsWith(start));
  return known?.[1] ?? (config.prediction_type === 'flow_velocity' ? 'flow-match-euler' : 'ddim');
}

const isFlow = (name: SamplerName) => name.startsWith('flow-match-');

/**
 * The schedule of a model with `steps` inference steps, from noisy to clean, float64.
 * @param options.name default: {@link samplerOf} the configuration.
 * @throws {NorthlightError} `scheduler/steps`, `scheduler/config`, `scheduler/undefined` or `scheduler/unsupported`.
 */
export function createGaussianSchedule(
  config: SchedulerConfig,
  options: ScheduleOptions & { readonly name?: SamplerName },
): GaussianSchedule {
  const name = options.name ?? samplerOf(config);
  refuseUnsupported(config, name);
  const skip = options.skipSteps ?? 0;
  if (!(Number.isInteger(skip) && skip >= 0 && skip <= options.steps)) {
    throw new RangeError(`${skip} of ${options.steps} steps cannot be left out.`);
  }
  if (!(options.eta >= 0 && options.eta <= 1)) {
    throw new NorthlightError('scheduler/eta', `eta is ${options.eta}.`, 'Use a number from 0 to 1.');
  }
  return {
    kind: 'gaussian',
    name,
    predictionType: config.prediction_type,
    initNoiseSigma: initialSigma(config, name, options.steps),
    steps: skip === options.steps ? [] : stepsOf(name, config, options, skip),
    clipSampleRange: config.clip_sample && !config.thresholding ? config.clip_sample_range : null,
    dynamicThreshold: config.thresholding
      ? { ratio: config.dynamic_thresholding_ratio, max: config.sample_max_value }
      : null,
  };
}

/**
 * The schedule of a masked model, from all masked to clean, float64.
 * @param options.name default: `sampler` of the configuration.
 * @throws {NorthlightError} `scheduler/steps`.
 */
export function createMaskedSchedule(
  config: MaskedSchedulerConfig,
  options: MaskedScheduleOptions & { readonly name?: SequenceSamplerName | undefined },
): MaskedSchedule {
  const name = options.name ?? config.sampler;
  const steps = name === 'masked' ? maskedSteps(config, options.steps) : oneAtATimeSteps(options.length);
  return { kind: 'masked', name, steps };
}

function stepsOf(name: SamplerName, config: SchedulerConfig, options: ScheduleOptions, skip: number): GaussianStep[] {
  switch (name) {
    case 'ddim':
    case 'ddpm':
      return variancePreservingSteps(name, config, options).slice(skip);
    case 'pndm':
      return pndmSteps(config, options.steps, skip);
    case 'euler':
    case 'euler-ancestral':
      return eulerSteps(config, options.steps, name === 'euler-ancestral').slice(skip);
    case 'heun':
      // Two evaluations per step, the second of which remembers the first alone.
      return heunSteps(config, options.steps).slice(2 * skip);
    case 'dpm-solver-multistep':
      return dpmSolverSteps(config, options.steps, skip);
    case 'unipc':
      return uniPcSteps(config, options.steps, skip);
    case 'lcm':
      return lcmSteps(config, options.steps).slice(skip);
    default:
      return flowSteps(name, config, options).slice(skip);
  }
}

/** Samplers in which the predicted clean sample has a weight of its own to be clamped by. */
const CLIPS: readonly SamplerName[] = ['ddim', 'ddpm'];

/** The samplers that can draw with a model. */
export function samplersFor(config: SchedulerConfig): SamplerName[] {
  return SAMPLERS.filter((name) => whyUnsupported(config, name) === null);
}

function refuseUnsupported(config: SchedulerConfig, name: SamplerName): void {
  const why = whyUnsupported(config, name);
  if (why !== null) throw why;
}

function whyUnsupported(config: SchedulerConfig, name: SamplerName): NorthlightError | null {
  if (isFlow(name) !== (config.prediction_type === 'flow_velocity')) {
    return new NorthlightError(
      'scheduler/unsupported',
      isFlow(name)
        ? `The sampler "${name}" needs a flow-matching model; this one predicts ${config.prediction_type}.`
        : `A flow-matching model has no schedule for the sampler "${name}".`,
      `Choose ${isFlow(name) ? samplerOf(config) : 'flow-match-euler'} for this model.`,
    );
  }
  if ((config.clip_sample || config.thresholding) && !CLIPS.includes(name)) {
    const key = config.thresholding ? 'thresholding' : 'clip_sample';
    return new NorthlightError(
      'scheduler/unsupported',
      `scheduler_config.json ${config.thresholding ? 'thresholds' : 'clips'} the predicted sample, which the sampler "${name}" does not do.`,
      `Choose ddim or ddpm, or set "${key}" to false.`,
    );
  }
  return null;
}
