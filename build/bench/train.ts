import { availableParallelism } from 'node:os';
import type { Model } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createSession, type Session } from '#models/runtime/session.ts';
import { buildUnet } from '#pipelines/recipes/flora/network.ts';
import { FLORA } from '#pipelines/recipes/flora/train.ts';
import { buildAttentionUnet } from './lib/attention-unet.ts';
import { type BenchResult, type Ratio, sideBySide } from './lib/measure.ts';
import { denoiserFeeds, fullStep, loraStep, type TrainingStep, withRandomWeights } from './lib/training-step.ts';

const RANK = 8;

/** The cost of one training step in forward passes of the same batch through the plain network, for LoRA and for all weights. */
export async function measure(
  options: { threads?: number; rounds?: number; only?: RegExp } = {},
): Promise<BenchResult> {
  const threads = options.threads ?? Math.max(1, availableParallelism());
  const rounds = options.rounds ?? 9;
  const cases: { name: string; unet: () => Model; batch: number }[] = [
    { name: 'flora, batch 16', unet: () => withRandomWeights(buildUnet(FLORA, 1)), batch: 16 },
    {
      name: 'cross-attention UNet, 17 M parameters, batch 4',
      unet: () => withRandomWeights(buildAttentionUnet()),
      batch: 4,
    },
  ];
  const ratios: Ratio[] = [];
  for (const each of cases) {
    const kinds: [string, number, (unet: Model) => TrainingStep][] = [
      [`LoRA rank ${RANK} step ÷ forward`, 3, (unet) => loraStep(unet, each.batch, RANK)],
      ['full step ÷ forward', 4, (unet) => fullStep(unet, each.batch)],
    ];
    for (const [kind, target, make] of kinds) {
      const name = `${each.name}: ${kind}`;
      if (options.only && !options.only.test(name)) continue;
      const unet = each.unet();
      const step = make(unet);
      const forward = await createSession(encodeModel(unet), { threads, arena: true });
      const training = await createSession(encodeModel(step.model), { threads, arena: true, training: true });
      const feeds = denoiserFeeds(unet, each.batch);
      ratios.push(
        await sideBySide({ name, target, a: () => training.run(step.feeds), b: () => forward.run(feeds) }, rounds),
      );
      await release(forward, training);
    }
  }
  return { ratios, rounds, threads };
}

async function release(...sessions: Session[]): Promise<void> {
  for (const s of sessions) await s.release();
}
