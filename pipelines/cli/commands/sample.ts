import { defineCommand } from '#pipelines/cli/command.ts';
import { type SampleResult, sampleOptions } from '#pipelines/cli/sample-options.ts';

export const sample = defineCommand({
  name: 'sample',
  summary: 'generate pictures or sequences',
  details: 'Writes OUT/0000.png … (or OUT/samples.fasta) and OUT/manifest.json.',
  options: sampleOptions,
  async settings({ decode }) {
    const { DECODERS } = await import('#pipelines/decoding/index.ts');
    return DECODERS.get(decode ?? 'plain')?.options;
  },
  async run(options, io): Promise<SampleResult> {
    const { findModel } = await import('#pipelines/cli/bundled.ts');
    const { findFolder } = await import('#models/families/find-folder.ts');
    const { isSequenceFolder } = await import('#models/families/sequence-model.ts');
    const found = findFolder(findModel(options.model));
    if (isSequenceFolder(found)) {
      const { runSampleSequences } = await import('#pipelines/cli/run-sample-sequences.ts');
      return await runSampleSequences(found, options, io);
    }
    const { runSample } = await import('#pipelines/cli/run-sample.ts');
    return await runSample(options, io);
  },
  show(result) {
    const lines = [`${result.count} in ${result.seconds.toFixed(1)} s · ${result.denoiserCalls} denoiser calls`];
    if (result.rewards !== undefined) {
      const { mean, std, min, max } = result.rewards;
      lines.push(`reward ${mean.toFixed(4)} ± ${std.toFixed(4)} (${min.toFixed(4)} … ${max.toFixed(4)})`);
    }
    return lines.join('\n');
  },
});
