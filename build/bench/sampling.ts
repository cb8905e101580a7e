import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSession } from '#models/runtime/session.ts';
import { f32, i64, numel, type Tensor } from '#models/tensor/tensor.ts';
import { buildTextEncoder, buildUnet, namedWeights } from '#pipelines/recipes/flora/network.ts';
import { exportFlora, FLORA } from '#pipelines/recipes/flora/train.ts';
import { sampleLoop } from '#pipelines/sampling/loop.ts';
import { loadPipeline } from '#pipelines/sampling/pipeline.ts';
import { createGaussianSchedule } from '#pipelines/schedulers/index.ts';
import { type BenchResult, sideBySide } from './lib/measure.ts';

const STEPS = 10;
const GUIDANCE = 4;

/** The sampling pipeline against its own network alone, called as often with feeds that lie ready. */
export async function measure(options: { threads?: number; rounds?: number } = {}): Promise<BenchResult> {
  const threads = options.threads ?? Math.max(1, availableParallelism());
  const rounds = options.rounds ?? 9;
  const folder = mkdtempSync(join(tmpdir(), 'northlight-bench-'));
  try {
    const unet = buildUnet(FLORA, 1);
    const text = buildTextEncoder(FLORA, 1);
    const weights = new Map<string, Tensor<'float32'>>();
    for (const [prefix, model] of [
      ['unet.', unet],
      ['text_encoder.', text],
    ] as const) {
      for (const name of namedWeights(model)) {
        weights.set(prefix + name, model.graph.initializers.get(name) as Tensor<'float32'>);
      }
    }
    exportFlora(folder, text, unet, weights);
    const pipeline = await loadPipeline(folder, { threads });
    const bare = await createSession(pipeline.folder.unetPath, { threads });
    const [condition] = await pipeline.encode(['a red flower'], '');
    const denoiser = pipeline.denoiser(GUIDANCE);
    const schedule = createGaussianSchedule(pipeline.scheduler, { steps: STEPS, eta: 1 });
    const rows = [{ condition: condition!, seed: 1, index: 0, noiseIndex: 0 }];
    const dims = pipeline.dims;
    const context = condition!.prompt.get('encoder_hidden_states')!;
    const feeds: Record<string, Tensor> = {
      sample: f32([2, ...dims], new Float32Array(2 * numel(dims)).fill(0.5)),
      timestep: i64([2], [500, 500]),
      encoder_hidden_states: f32([2, ...context.dims], new Float32Array(2 * numel(context.dims))),
    };
    const output = bare.outputs[0]!.name;
    try {
      const ratio = await sideBySide(
        {
          name: `flora, ${STEPS} guided steps of one picture: pipeline ÷ session`,
          target: 1.1,
          a: async () => {
            const loop = sampleLoop({ denoiser, schedule, rows, keepTrajectory: false });
            while (!(await loop.next()).done);
          },
          b: async () => {
            for (let i = 0; i < STEPS; i++) await bare.run(feeds, [output]);
          },
        },
        rounds,
        // The loop itself is JavaScript and gets fast only once compiled.
        6,
      );
      return { ratios: [ratio], rounds, threads };
    } finally {
      await bare.release();
      await pipeline.close();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
