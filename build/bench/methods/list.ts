import { createSteering } from '#pipelines/decoding/index.ts';
import type { Steering } from '#pipelines/sampling/steering.ts';
import { bestOf } from './calls.ts';

export interface MethodSettings {
  /** Denoiser calls of a sample, as a multiple of plain sampling's. */
  readonly budget: number;
  /** Temperature: of rewards against the model. */
  readonly alpha: number;
  /** Standard deviation of a number of a picture over the data. */
  readonly spread: number;
  /** Folder of the value network. */
  readonly network: string;
}

export interface Method {
  readonly name: string;
  /** What it is in the tables of Li et al. 2024; null where it is in none. */
  readonly published: 'Pre' | 'Best-of-N' | 'DPS' | 'SMC' | 'SVDD-PM' | null;
  readonly needs?: 'gradient' | 'network';
  /** How it spends the budget, for the table's foot. */
  readonly spends: string;
  /** Null: plain sampling. */
  steering(settings: MethodSettings): Steering | null;
}

/** Candidates of a step that a value network judges: as many as the paper takes for sequences. They cost no denoiser call. */
const MC_CANDIDATES = 10;

/** Candidates that are screened: ten for each that is asked about. */
const SCREENED = 40;

/** Methods at equal denoiser calls, except the first, which shows what there was before. */
export const METHODS: readonly Method[] = [
  {
    name: 'plain',
    published: 'Pre',
    spends: 'one sample each: the base, at a fraction of the calls',
    steering: () => null,
  },
  {
    name: 'best-of-n',
    published: 'Best-of-N',
    spends: 'as many samples as the budget says; the best is kept',
    steering: ({ budget }) => createSteering('best-of-n', { candidates: budget }),
  },
  {
    name: 'smc',
    published: 'SMC',
    spends: 'as many particles; one of each population is drawn by weight',
    steering: ({ budget, alpha }) => createSteering('smc', { particles: budget, alpha }),
  },
  {
    name: 'svdd-pm-argmax',
    published: 'SVDD-PM',
    spends: 'as many candidates at each step, of which the best goes on, as in released code',
    steering: ({ budget, alpha }) => createSteering('svdd-pm', { candidates: budget, alpha, select: 'argmax' }),
  },
  {
    name: 'svdd-pm-weighted',
    published: null,
    spends: 'as many candidates at each step, one drawn by weight',
    steering: ({ budget, alpha }) => createSteering('svdd-pm', { candidates: budget, alpha }),
  },
  {
    name: 'svdd-pm-screened',
    published: null,
    spends: `${SCREENED} candidates at each step, judged by what the network has said of their parent; as many as the budget says go on to be asked about, and the best goes on`,
    steering: ({ budget, alpha }) =>
      createSteering('svdd-pm', { candidates: SCREENED, screen: budget, alpha, select: 'argmax' }),
  },
  {
    name: 'svdd-mc',
    published: null,
    needs: 'network',
    spends: `${MC_CANDIDATES} candidates at each step judged by a value network, which costs no denoiser calls, so as many samples as the budget says; the best is kept. The network is trained once, on plain samples whose calls are not in the table`,
    steering: ({ budget, network }) =>
      bestOf(createSteering('svdd-mc', { candidates: MC_CANDIDATES, select: 'argmax', value: network }), budget),
  },
  {
    name: 'gradient',
    published: 'DPS',
    needs: 'gradient',
    spends: 'as many guided samples; the best is kept',
    steering: ({ budget, alpha, spread }) => createSteering('gradient', { candidates: budget, alpha, spread }),
  },
  {
    name: 'tree',
    published: null,
    spends: 'a tree within the budget',
    steering: ({ budget, alpha }) => createSteering('tree', { budget, alpha }),
  },
];
