import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { bundledModelsFolder } from '#pipelines/cli/bundled.ts';
import { createSteering } from '#pipelines/decoding/index.ts';
import { createReward } from '#pipelines/rewards/index.ts';
import { generatePictures, type SteeredPicture } from '#pipelines/sampling/generate.ts';
import { loadPipeline } from '#pipelines/sampling/pipeline.ts';
import { type BenchResult, sideBySide } from './lib/measure.ts';

const STEPS = 10;
const SETTINGS = {
  steps: STEPS,
  eta: 1,
  guidanceScale: 3,
  negativePrompt: '',
  seed: 1,
  keepTrajectories: false,
} as const;

/** Steered sampling against its denoiser and reward calls alone, as many of each and in the same batches. */
export async function measure(options: { threads?: number; rounds?: number } = {}): Promise<BenchResult> {
  const threads = options.threads ?? Math.max(1, availableParallelism());
  const rounds = options.rounds ?? 7;
  const pipeline = await loadPipeline(join(bundledModelsFolder, 'flora'), { threads });
  const reward = await createReward('compressibility', { threads });
  try {
    const ratios = [];
    for (const [decoder, set] of [
      ['svdd-pm', { candidates: 4 }],
      ['smc', { particles: 4 }],
      ['best-of-n', { candidates: 4 }],
    ] as const) {
      /** Sizes of the batches that the network and the reward were given, in order. */
      const asked: ({ rows: number } | { pictures: readonly SteeredPicture[] })[] = [];
      let recording = true;
      const denoiserOf = pipeline.denoiser.bind(pipeline);
      const watched = {
        ...pipeline,
        denoiser: (...how: Parameters<typeof denoiserOf>) => {
          const own = denoiserOf(...how);
          return {
            ...own,
            predict: (...query: Parameters<typeof own.predict>) => {
              if (recording) asked.push({ rows: query[2].length });
              return own.predict(...query);
            },
          };
        },
      };
      const steer = async () => {
        const stream = generatePictures({
          pipeline: watched,
          settings: SETTINGS,
          requests: [{ prompt: 'a red tulip', index: 0, noiseIndex: 0 }],
          steered: {
            steering: createSteering(decoder, set),
            reward: 'compressibility',
            score: async (pictures) => {
              if (recording) asked.push({ pictures });
              return Float64Array.from(await reward.score(pictures));
            },
          },
        });
        for await (const _ of stream);
      };
      await steer();
      recording = false;
      const bare = denoiserOf(SETTINGS.guidanceScale);
      const [condition] = await pipeline.encode(['a red tulip'], '');
      const size = pipeline.dims.reduce((a, b) => a * b, 1);
      const run = async () => {
        for (const call of asked) {
          if ('pictures' in call) await reward.score(call.pictures);
          else await bare.predict(new Float32Array(call.rows * size), 500, new Array(call.rows).fill(condition!));
        }
      };
      const name = `flora, ${STEPS} steps, ${decoder} of 4: steered ÷ its calls`;
      ratios.push(await sideBySide({ name, target: 1.1, a: steer, b: run }, rounds, 3));
    }
    return { ratios, rounds, threads };
  } finally {
    await reward.close();
    await pipeline.close();
  }
}
