import { examineModel, rememberedModelHash } from '#models/families/index.ts';
import { generatePictures } from '#pipelines/sampling/generate.ts';
import { loadPipeline } from '#pipelines/sampling/pipeline.ts';

/** What the process that imports and samples a model is asked, as JSON in its first argument. */
export interface LargeRequest {
  readonly folder: string;
  /** Where hashes are remembered. */
  readonly cacheFolder: string;
  readonly steps: number;
  readonly threads: number;
}

export interface LargeAnswer {
  /** Most of heapUsed + external + arrayBuffers, in bytes, and what the process had before it looked at the model. */
  readonly peakBytes: number;
  readonly startBytes: number;
  /** How often it was looked at. */
  readonly looks: number;
  readonly hashSeconds: number;
  /** The same again, remembered. */
  readonly againSeconds: number;
  readonly openSeconds: number;
  readonly sampleSeconds: number;
}

const EVERY_MS = 50;

const held = (): number => {
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + external + arrayBuffers;
};

async function main({ folder, cacheFolder, steps, threads }: LargeRequest): Promise<LargeAnswer> {
  const startBytes = held();
  let peakBytes = startBytes;
  let looks = 0;
  const look = () => {
    peakBytes = Math.max(peakBytes, held());
    looks++;
  };
  const timer = setInterval(look, EVERY_MS);
  const timed = async (work: () => unknown) => {
    const start = performance.now();
    await work();
    look();
    return (performance.now() - start) / 1000;
  };
  if (!examineModel(folder).usable) throw new Error('The model that was written cannot be used.');
  look();
  const hashSeconds = await timed(() => rememberedModelHash(folder, { cacheFolder }));
  const againSeconds = await timed(() => rememberedModelHash(folder, { cacheFolder }));
  const openStart = performance.now();
  const pipeline = await loadPipeline(folder, { threads });
  const openSeconds = (performance.now() - openStart) / 1000;
  const settings = { steps, eta: 0, guidanceScale: 7.5, negativePrompt: '', seed: 1, keepTrajectories: false };
  const requests = [{ prompt: 'a red cat', index: 0, noiseIndex: 0 }];
  const sampleSeconds = await timed(async () => {
    for await (const picture of generatePictures({ pipeline, settings, requests, onStep: look })) {
      if (!picture.sample.every(Number.isFinite)) throw new Error('A picture that is no picture.');
    }
  });
  await pipeline.close();
  clearInterval(timer);
  return { peakBytes, startBytes, looks, hashSeconds, againSeconds, openSeconds, sampleSeconds };
}

process.stdout.write(`${JSON.stringify(await main(JSON.parse(process.argv[2]!) as LargeRequest))}\n`);
