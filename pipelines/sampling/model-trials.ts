import { NorthlightError } from '#models/errors.ts';
import type { EncodedText, TextPart } from '#models/families/family.ts';
import { stampModelFolder } from '#models/families/index.ts';
import { latentDims, type ModelFolder, openModelFolder } from '#models/families/model-folder.ts';
import {
  type ChooseOptions,
  candidateProviders,
  chooseProvider,
  type ProviderChoice,
  type ProviderTrial,
  rememberedChoice,
  trustProvider,
} from '#models/runtime/choose-provider.ts';
import { runTrial, type TrialGraph, type TrialRun } from '#models/runtime/graph-trial.ts';
import type { Provider, Session } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, numel, type Tensor } from '#models/tensor/tensor.ts';
import { createNetworkDenoiser } from './network-denoiser.ts';

export interface ModelTrialOptions extends ChooseOptions {
  readonly threads?: number | undefined;
}

/** A step of a large model on a slow device, its start included. */
const TIMEOUT_MS = 600_000;
/** A timestep in the middle of the usual thousand. */
const MIDDLE = 500;

/**
 * Measures a model's denoiser on every provider that this system may have: one step at the model's own size, each in a
 * process of its own, compared with the CPU. Remembered per device and model files. The CPU comes first.
 * @throws {NorthlightError} of the folder, or `model/free-size`.
 */
export async function measureModel(directory: string, options: ModelTrialOptions = {}): Promise<ProviderTrial[]> {
  const graph = await denoiserTrial(directory, options.threads);
  const patient = { timeoutMs: TIMEOUT_MS, ...options };
  let cpu: Promise<TrialRun> | undefined;
  const reference = () => {
    cpu ??= runTrial('cpu', graph, patient);
    return cpu;
  };
  const trials: ProviderTrial[] = [];
  // One after another: two at once would share the device and spoil each other's time.
  for (const provider of options.candidates ?? candidateProviders()) {
    trials.push(await trustProvider(provider, graph, patient, reference));
  }
  return trials;
}

/**
 * What shall run a model: with `auto` the fastest provider that was measured to agree with the CPU on this very model, never
 * one that fails or disagrees.
 * @throws {NorthlightError} `provider/refused` when the provider asked for cannot be trusted with the model.
 */
export async function providerForModel(
  directory: string,
  wanted: Provider | 'auto' = 'auto',
  options: ModelTrialOptions = {},
): Promise<ProviderChoice> {
  const none: TrialGraph = { bytes: new Uint8Array(), feeds: {} };
  const graph = wanted === 'cpu' ? none : await denoiserTrial(directory, options.threads);
  return chooseProvider(wanted, graph, { timeoutMs: TIMEOUT_MS, ...options });
}

/**
 * What `providerForModel` with `auto` found before, as it is remembered; nothing is measured now.
 * @returns null when there is nothing to choose from: the CPU then, which every model was made for.
 * @throws {NorthlightError} of the folder.
 */
export async function rememberedProvider(
  directory: string,
  options: ModelTrialOptions = {},
): Promise<ProviderChoice | null> {
  try {
    return rememberedChoice(await denoiserTrial(directory, options.threads), options);
  } catch (error) {
    // It cannot be tried, so it was not.
    if (error instanceof NorthlightError && error.code === 'model/free-size') return null;
    throw error;
  }
}

/** The denoiser with what one step of one sample feeds it. */
async function denoiserTrial(directory: string, threads: number | undefined): Promise<TrialGraph> {
  const folder = openModelFolder(directory);
  const identity = `${stampModelFolder(folder.path)} ${folder.unetPath.slice(folder.path.length)}`;
  return {
    bytes: new Uint8Array(),
    file: { path: folder.unetPath, identity },
    feeds: await stepFeeds(folder),
    threads,
  };
}

/** What the pipeline would feed the network: it is asked, with a session that only writes down what it gets. */
export async function stepFeeds(
  { model, unetPath }: ModelFolder,
  { width, height }: { readonly width: number; readonly height: number } = model.size,
): Promise<Record<string, Tensor>> {
  const rng = new Rng(0).fork('trial');
  const dims = latentDims(model, { width, height });
  let seen: Record<string, Tensor> = {};
  const session: Session = {
    inputs: [],
    outputs: [],
    run: async (feeds) => {
      seen = { ...feeds };
      const rows = seen[model.denoiser.sample]?.dims[0] ?? 1;
      return { [model.denoiser.output]: f32([rows, ...dims], new Float32Array(rows * numel(dims))) };
    },
    release: async () => {},
  };
  const encoded = model.text.map((part) => randomText(part, rng.fork(part.component.role), unetPath));
  const prompt = model.condition(encoded, '', 'prompt');
  const extra = model.denoiser.extraChannels * dims[1] * dims[2];
  const denoiser = createNetworkDenoiser({
    model,
    session,
    request: { width, height, guidanceScale: 1, ...(extra > 0 && { extraChannels: new Float32Array(extra) }) },
    calls: { count: 0 },
  });
  await denoiser.predict(rng.fillNormal(new Float32Array(numel(dims))), MIDDLE, [{ prompt, negative: prompt }]);
  return seen;
}

/** A text's encoding as random numbers of the right shape: for time and agreement any do. */
function randomText({ component, tokens, hidden, pooled }: TextPart, rng: Rng, where: string): EncodedText {
  const widthOf = (output: string, keys: readonly string[]) => {
    const declared = component.signature.outputs.find((p) => p.name === output)?.dims.at(-1);
    const known = [declared, ...keys.map((key) => component.config[key])].find((d) => typeof d === 'number' && d > 0);
    if (typeof known === 'number') return known;
    throw new NorthlightError(
      'model/free-size',
      `How wide the text's vectors are is written nowhere, so that ${where} cannot be tried.`,
      'Add "hidden_size" to text_encoder/config.json.',
    );
  };
  const draw = (dims: number[]) => f32(dims, rng.fillNormal(new Float32Array(numel(dims))));
  return {
    hidden: hidden === null ? null : draw([tokens, widthOf(hidden, ['hidden_size', 'd_model'])]),
    pooled: pooled === null ? null : draw([widthOf(pooled, ['projection_dim', 'hidden_size'])]),
    mask: f32([tokens], new Float32Array(tokens).fill(1)),
  };
}
