import { join } from 'node:path';
import { openModelFolder, rememberedModelHash } from '#models/families/index.ts';
import { Rng } from '#models/tensor/rng.ts';
import { resizeRgb } from '#pipelines/images/images.ts';
import { activityOf } from '#pipelines/recipes/enhancer-dna/activity.ts';
import { approximateLogLikelihood } from '#pipelines/recipes/enhancer-dna/metrics.ts';
import { createReward } from '#pipelines/rewards/index.ts';
import { scoreWith } from '#pipelines/rewards/open-reward.ts';
import type { RewardItem } from '#pipelines/rewards/types.ts';
import { generatePictures, type Picture } from '#pipelines/sampling/generate.ts';
import {
  type GeneratedSequence,
  generateSequences,
  loadSequencePipeline,
} from '#pipelines/sampling/generate-sequences.ts';
import type { MaskedPipeline } from '#pipelines/sampling/masked-pipeline.ts';
import { loadPipeline } from '#pipelines/sampling/pipeline.ts';
import type { Steering } from '#pipelines/sampling/steering.ts';
import { createGaussianSchedule, createMaskedSchedule } from '#pipelines/schedulers/index.ts';
import { moveChance } from '#pipelines/schedulers/masked-config.ts';
import type { Calls } from './calls.ts';
import { pictureLogLikelihood } from './likelihood.ts';
import type { SampleRecord } from './records.ts';

/** A model with a reward to follow, and another to watch. */
export interface Subject {
  /** `model/reward`. */
  readonly name: string;
  readonly kind: 'image' | 'sequence';
  readonly steps: number;
  readonly alpha: number;
  readonly spread: number;
  /** What its value network is trained by: what it learns from (`value-lessons.ts`), and updates. */
  readonly values: { readonly count: number; readonly states?: number; readonly updates: number };
  /** In words: the rewards, what the samples were asked for, what diversity and likelihood are. */
  readonly about: string;
  /** Medians of Li et al. 2024 (arXiv:2408.08252), table 1, for the task that is most like it; null where none is. */
  readonly published: { readonly task: string; readonly medians: Readonly<Record<string, number>> } | null;
  open(models: string, threads: number): Promise<OpenSubject>;
}

export interface Drawn {
  /** Of sampling. */
  readonly seconds: number;
  /** What is to be known of the samples besides their rewards. */
  examine(): Promise<SampleRecord[]>;
}

export interface OpenSubject {
  /** Whether the gradient of the reward is known. */
  readonly hasGradient: boolean;
  /** What value networks belong to. */
  readonly modelHash: string;
  readonly reward: string;
  /** Samples `first` … `first + count − 1` of a seed. @param calls what they took is added to it. */
  draw(steering: Steering | null, seed: number, first: number, count: number, calls: Calls): Promise<Drawn>;
  close(): Promise<void>;
}

/** Levels of noise for the likelihood of a picture, and steps for that of a sequence. */
const PICTURE_LEVELS = 7;
const SEQUENCE_STEPS = 32;
/** Side of the pictures that diversity is measured on. */
export const LOOK_SIDE = 8;
const BATCH = 16;

interface PictureRewards {
  readonly steered: string;
  readonly heldOut: string;
  readonly alpha: number;
  readonly published: Subject['published'];
}

function flora({ steered, heldOut, alpha, published }: PictureRewards): Subject {
  const steps = 10;
  const guidanceScale = 1;
  return {
    name: `flora/${steered}`,
    kind: 'image',
    steps,
    alpha,
    // Pixels in −1 … 1.
    spread: 0.5,
    values: { count: 320, states: 3, updates: 800 },
    published,
    about:
      `flora follows ${steered}; ${heldOut} is held out. DDIM of ${steps} steps with η 1, guidance ${guidanceScale} (one call a step), the model's ` +
      `own example prompts in turn. Diversity: mean distance between two pictures of one prompt, root mean square over ${LOOK_SIDE}×${LOOK_SIDE} ` +
      `averaged colours of 0 … 1. Log-likelihood: nats per number, the continuous-time bound by ${PICTURE_LEVELS} levels of noise, less a constant.`,
    async open(models, threads) {
      const folder = openModelFolder(join(models, 'flora'));
      const pipeline = await loadPipeline(folder.path, { threads });
      const rewards = await Promise.all([steered, heldOut].map((spec) => createReward(spec, { threads })));
      const [reward, other] = rewards as [(typeof rewards)[0], (typeof rewards)[0]];
      const prompts = folder.examplePrompts;
      const schedule = createGaussianSchedule(pipeline.scheduler, {
        name: 'ddim',
        steps: pipeline.scheduler.num_train_timesteps,
        eta: 0,
      });
      const denoiser = pipeline.denoiser(1);
      const conditions = await pipeline.encode(prompts, '');
      return {
        hasGradient: reward.graph !== undefined,
        modelHash: await rememberedModelHash(folder.path),
        reward: steered,
        async draw(steering, seed, first, count, calls) {
          const requests = Array.from({ length: count }, (_, i) => ({
            prompt: prompts[(first + i) % prompts.length]!,
            index: first + i,
            noiseIndex: first + i,
          }));
          const score = async (items: readonly RewardItem[]) => {
            calls.reward += items.length;
            return scoreWith(reward, items);
          };
          const itemOf = ({ rgb, width, height, prompt }: Picture): RewardItem => ({
            kind: 'image',
            rgb,
            width,
            height,
            prompt,
          });
          const before = pipeline.calls.count;
          const started = performance.now();
          const pictures: Picture[] = [];
          for await (const picture of generatePictures({
            pipeline,
            requests,
            settings: {
              scheduler: 'ddim',
              steps,
              eta: 1,
              guidanceScale,
              negativePrompt: '',
              seed,
              keepTrajectories: false,
            },
            batch: BATCH,
            ...(steering ? { steered: { steering, reward: steered, score, graph: reward.graph } } : {}),
          })) {
            pictures.push(picture);
          }
          const values = steering ? pictures.map((p) => p.reward!) : await score(pictures.map(itemOf));
          const seconds = (performance.now() - started) / 1000;
          calls.denoiser += pipeline.calls.count - before;
          const examine = async () => {
            const held = await scoreWith(other, pictures.map(itemOf));
            const samples: SampleRecord[] = [];
            for (const [i, p] of pictures.entries()) {
              const group = p.index % prompts.length;
              const small = await resizeRgb(p.rgb, p.width, p.height, LOOK_SIDE, LOOK_SIDE, 'cubic');
              const noise = new Rng(0).fork('likelihood');
              samples.push({
                index: p.index,
                reward: values[i]!,
                heldOut: held[i]!,
                exact: null,
                logLikelihood: await pictureLogLikelihood(
                  denoiser,
                  schedule,
                  p.sample,
                  conditions[group]!,
                  PICTURE_LEVELS,
                  noise,
                ),
                logWeight: p.logWeight,
                group,
                look: Buffer.from(small).toString('base64'),
              });
            }
            return samples;
          };
          return { seconds, examine };
        },
        async close() {
          for (const each of rewards) await each.close();
          await pipeline.close();
        },
      };
    },
  };
}

const enhancer: Subject = {
  name: 'enhancer-dna/oracle-a',
  kind: 'sequence',
  steps: 64,
  alpha: 0.2,
  spread: 1,
  values: { count: 1024, updates: 600 },
  published: {
    task: 'enhancer activity in HepG2',
    medians: { Pre: 0.121, 'Best-of-N': 1.807, DPS: 3.782, SMC: 4.28, 'SVDD-PM': 5.353 },
  },
  about:
    'enhancer-dna follows the activity in HepG2 that enhancer-oracle-a says; enhancer-oracle-b, trained on other sequences, is held out, and ' +
    'exact is the true activity. 64 steps, no class. Diversity: mean share of letters in which two sequences differ. Log-likelihood: ' +
    `nats of a sequence of 200 letters, the masked bound on ${SEQUENCE_STEPS} steps with one draw of masks.`,
  async open(models, threads) {
    const pipeline = (await loadSequencePipeline(join(models, 'enhancer-dna'), { threads })) as MaskedPipeline;
    const oracle = (half: string) => `onnx:${join(models, `enhancer-oracle-${half}`, 'model.onnx')}`;
    const reward = await createReward(oracle('a'), { threads });
    const other = await createReward(oracle('b'), { threads });
    const { steps } = enhancer;
    const denoiser = pipeline.denoiser(1);
    const schedule = createMaskedSchedule(pipeline.scheduler, {
      name: 'masked',
      steps: SEQUENCE_STEPS,
      length: pipeline.model.length[0],
    });
    const itemOf = (sequence: string): RewardItem => ({ kind: 'sequence', sequence });
    return {
      hasGradient: reward.graph !== undefined,
      modelHash: await rememberedModelHash(pipeline.model.path),
      reward: 'oracle-a',
      async draw(steering, seed, first, count, calls) {
        const score = async (sequences: readonly string[]) => {
          calls.reward += sequences.length;
          return scoreWith(reward, sequences.map(itemOf));
        };
        const before = pipeline.calls.count;
        const started = performance.now();
        const made: GeneratedSequence[] = [];
        for await (const sequence of generateSequences({
          pipeline,
          first,
          count,
          batch: BATCH,
          settings: { scheduler: 'masked', steps, eta: 0, guidanceScale: 1, seed, classId: null, length: null },
          ...(steering ? { steered: { steering, reward: 'oracle-a', score, graph: reward.graph } } : {}),
        })) {
          made.push(sequence);
        }
        const values = steering ? made.map((m) => m.reward!) : await score(made.map((m) => m.sequence));
        const seconds = (performance.now() - started) / 1000;
        calls.denoiser += pipeline.calls.count - before;
        const examine = async () => {
          const held = await scoreWith(
            other,
            made.map((m) => itemOf(m.sequence)),
          );
          const maskedAt = (time: number) => moveChance(pipeline.scheduler, time);
          const samples: SampleRecord[] = [];
          for (const [i, { index, sequence, tokens, logWeight }] of made.entries()) {
            const noise = new Rng(0).fork('likelihood');
            samples.push({
              index,
              reward: values[i]!,
              heldOut: held[i]!,
              exact: activityOf(sequence).HepG2,
              logLikelihood: await approximateLogLikelihood(denoiser, schedule, tokens, null, maskedAt, noise),
              logWeight,
              group: 0,
              look: sequence,
            });
          }
          return samples;
        };
        return { seconds, examine };
      },
      async close() {
        await reward.close();
        await other.close();
        await pipeline.close();
      },
    };
  },
};

export const SUBJECTS: readonly Subject[] = [
  flora({
    steered: 'compressibility',
    heldOut: 'prompt-agreement',
    alpha: 0.02,
    published: {
      task: 'compressibility',
      medians: { Pre: -101.4, 'Best-of-N': -71.2, DPS: -58.5, SMC: -57.1, 'SVDD-PM': -49.7 },
    },
  }),
  flora({ steered: 'prompt-agreement', heldOut: 'compressibility', alpha: 0.05, published: null }),
  enhancer,
];
