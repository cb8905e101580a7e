import { z } from 'zod';
import { findModel } from '#pipelines/cli/bundled.ts';
import { defineCommand } from '#pipelines/cli/command.ts';
import { describeDoctor, type InspectResult } from '#pipelines/cli/doctor-report.ts';

export const modelsInspect = defineCommand({
  name: 'models inspect',
  summary: 'what a model folder holds, and what is missing or unusable and how to fix it',
  details: 'Reads names and graph signatures, not weights. Exit code 2 if the model cannot run.',
  options: z.object({
    dir: z
      .string()
      .min(1)
      .describe('a model folder in the diffusers ONNX layout, a bundled name, or whatever you have'),
    dryStep: z.boolean().default(false).describe('also send one small sample through the whole model'),
    gradients: z.boolean().default(false).describe('also say which weights can be trained (reads the graph whole)'),
    hash: z.boolean().default(false).describe('also hash what decides the output (reads all weights)'),
  }),
  positionals: ['dir'],
  async run({ dir, dryStep: step, gradients, hash, threads }, io): Promise<InspectResult> {
    const { examineModel, rememberedModelHash, summaryOf } = await import('#models/families/index.ts');
    const report = examineModel(findModel(dir));
    const { problems } = summaryOf(report);
    const result: InspectResult = { ...report, problems, hash: null, dryStep: null, gradients: null };
    if (!report.usable) return result;
    return {
      ...result,
      dryStep: step && report.kind === 'image' ? await tryStep(report.path, threads, io) : null,
      gradients: gradients ? await trainable(report.path) : null,
      hash: hash ? await rememberedModelHash(report.path) : null,
    };
  },
  show: describeDoctor,
  exitCode: ({ usable, dryStep: step }) => (usable && step?.finite !== false ? 0 : 2),
});

async function tryStep(
  path: string,
  threads: number | undefined,
  io: { progress(s: string, d: number, t: number): void },
) {
  const { dryStep } = await import('#pipelines/sampling/dry-step.ts');
  io.progress('one step', 0, 1);
  const result = await dryStep(path, threads ? { threads } : {});
  io.progress('one step', 1, 1);
  return result;
}

async function trainable(path: string): Promise<InspectResult['gradients']> {
  const { findFolder } = await import('#models/families/index.ts');
  const { inspectGraph } = await import('#models/autodiff/inspect.ts');
  const { readModel } = await import('#models/onnx/read.ts');
  const denoiser = findFolder(path).components.get('denoiser')!;
  const { weights, blockers } = inspectGraph(readModel(denoiser.path));
  return {
    weights: weights.length,
    trainable: weights.filter((w) => w.state === 'yes').length,
    blockers: [...new Set(blockers.map((b) => b.operator))],
  };
}
