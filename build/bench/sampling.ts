import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSession } from '#models/runtime/session.ts';
import { f32, fromNumbers, numel, type Tensor } from '#models/tensor/tensor.ts';
import { buildTextEncoder, buildUnet } from '#pipelines/recipes/flora/network.ts';
import { exportFlora, FLORA } from '#pipelines/recipes/flora/train.ts';
import { namedWeights } from '#pipelines/recipes/weights.ts';
import { sampleLoop } from '#pipelines/sampling/loop.ts';
import { createNetworkDenoiser } from '#pipelines/sampling/network-denoiser.ts';
import { type ImagePipeline, loadPipeline } from '#pipelines/sampling/pipeline.ts';
import { createGaussianSchedule } from '#pipelines/schedulers/index.ts';
import { sd1Files, TINY_TOKENS, writeFolder } from '#test/models/families/tiny-folders.ts';
import { buildAttentionUnet } from './lib/attention-unet.ts';
import { type BenchResult, type Ratio, sideBySide } from './lib/measure.ts';
import { withRandomWeights } from './lib/training-step.ts';

const GUIDANCE = 4;

interface Case {
  readonly name: string;
  readonly steps: number;
  readonly target: number;
  /** Unmeasured rounds: the loop itself is JavaScript and gets fast only once compiled. */
  readonly warmup: number;
  write(folder: string): void;
}

const CASES: readonly Case[] = [
  { name: 'flora', steps: 10, target: 1.05, warmup: 6, write: writeFlora },
  {
    name: '17 M parameters on latents',
    steps: 2,
    target: 1.05,
    warmup: 2,
    write: (folder) =>
      void writeFolder(folder, {
        ...sd1Files({ width: 256 }),
        'unet/model.onnx': withRandomWeights(buildAttentionUnet(TINY_TOKENS)),
        'unet/config.json': { block_out_channels: [64, 128, 256], in_channels: 4, cross_attention_dim: 256 },
      }),
  },
];

export interface SamplingOptions {
  readonly threads?: number;
  readonly rounds?: number;
  readonly only?: RegExp;
}

/** The sampling pipeline against its own network alone, called as often with feeds that lie ready. */
export async function measure(options: SamplingOptions = {}): Promise<BenchResult> {
  const threads = options.threads ?? Math.max(1, availableParallelism());
  const rounds = options.rounds ?? 9;
  const ratios: Ratio[] = [];
  for (const each of CASES) {
    if (options.only && !options.only.test(each.name)) continue;
    const folder = mkdtempSync(join(tmpdir(), 'northlight-bench-'));
    try {
      each.write(folder);
      const pipeline = await loadPipeline(folder, { threads });
      try {
        ratios.push(await against(pipeline, each, rounds, threads));
      } finally {
        await pipeline.close();
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
  return { ratios, rounds, threads };
}

async function against(pipeline: ImagePipeline, each: Case, rounds: number, threads: number): Promise<Ratio> {
  const { name, steps, target, warmup } = each;
  const bare = await createSession(pipeline.folder.unetPath, { threads });
  const [condition] = await pipeline.encode(['a red flower'], '');
  // What the pipeline makes, on the very session that it is held against.
  const { model } = pipeline;
  const request = { guidanceScale: GUIDANCE, width: model.size.width, height: model.size.height };
  const denoiser = createNetworkDenoiser({ model, session: bare, request, calls: { count: 0 } });
  const schedule = createGaussianSchedule(pipeline.scheduler, { steps, eta: 1 });
  const rows = [{ condition: condition!, seed: 1, index: 0, noiseIndex: 0 }];
  const { dims } = pipeline;
  const context = condition!.prompt.get('encoder_hidden_states')!;
  const timestep = bare.inputs.find((port) => port.name === 'timestep')!;
  const feeds: Record<string, Tensor> = {
    sample: f32([2, ...dims], new Float32Array(2 * numel(dims)).fill(0.5)),
    timestep: fromNumbers(timestep.dtype, [2], [500, 500]),
    encoder_hidden_states: f32([2, ...context.dims], new Float32Array(2 * numel(context.dims))),
  };
  const output = bare.outputs[0]!.name;
  try {
    return await sideBySide(
      {
        name: `${name}, ${steps} guided steps of one picture: pipeline ÷ session`,
        target,
        a: async () => {
          const loop = sampleLoop({ denoiser, schedule, rows, keepTrajectory: false });
          while (!(await loop.next()).done);
        },
        b: async () => {
          for (let i = 0; i < steps; i++) await bare.run(feeds, [output]);
        },
      },
      rounds,
      warmup,
    );
  } finally {
    await bare.release();
  }
}

function writeFlora(folder: string): void {
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
}
