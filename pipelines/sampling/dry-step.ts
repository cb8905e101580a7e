import { Rng } from '#models/tensor/rng.ts';
import { numel } from '#models/tensor/tensor.ts';
import { loadPipeline, type PipelineOptions } from './pipeline.ts';

/** What one small step through a whole model showed. */
export interface DryStep {
  /** Opening all graphs. */
  readonly loadSeconds: number;
  /** One call of the denoiser, its prompt's encoding and the decoding included. */
  readonly seconds: number;
  /** Whether every number of the result is one. */
  readonly finite: boolean;
  /** Shape of the sample that was denoised. */
  readonly dims: readonly number[];
  /** Pixels of what was decoded. */
  readonly width: number;
  readonly height: number;
}

/** What is done next, and how many of `total` things are. May throw to stop. */
type Report = (stage: string, done: number, total: number) => void;

/**
 * Sends one sample of the smallest size through the text encoders, the denoiser and the decoder of an image model.
 * @throws {NorthlightError} of the folder or the runtime, naming what does not run.
 */
export async function dryStep(
  directory: string,
  options: PipelineOptions = {},
  report: Report = () => {},
): Promise<DryStep> {
  const started = performance.now();
  report('opening the networks', 0, 3);
  const pipeline = await loadPipeline(directory, options);
  try {
    const loadSeconds = since(started);
    report('one step', 1, 3);
    const { size, denoiser: plan } = pipeline.model;
    const side = { width: size.free ? size.multiple : size.width, height: size.free ? size.multiple : size.height };
    const begun = performance.now();
    const [condition] = await pipeline.encode([''], '');
    const { extraChannels } = plan;
    const factor = pipeline.model.vae?.scaleFactor ?? 1;
    const dims = [plan.channels, side.height / factor, side.width / factor] as const;
    const denoiser = pipeline.denoiser(1, {
      ...side,
      ...(extraChannels > 0 && { extraChannels: new Float32Array(extraChannels * dims[1] * dims[2]) }),
    });
    const noise = new Rng(0).fillNormal(new Float32Array(numel(dims)));
    const output = await denoiser.predict(noise, MIDDLE, [condition!]);
    // Of such a sample the decoder would only say that it is not its fault.
    if (!output.every(Number.isFinite)) return { loadSeconds, seconds: since(begun), finite: false, dims, ...side };
    report('decoding', 2, 3);
    const { data, width, height } = await pipeline.decode(output, dims);
    return { loadSeconds, seconds: since(begun), finite: data.every(Number.isFinite), dims, width, height };
  } finally {
    await pipeline.close();
  }
}

/** A timestep in the middle of the usual thousand. */
const MIDDLE = 500;
const since = (start: number) => (performance.now() - start) / 1000;
