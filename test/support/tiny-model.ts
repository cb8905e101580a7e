import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '#models/files.ts';
import { isExternal, type Model } from '#models/onnx/ir.ts';
import { writeModel } from '#models/onnx/write.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, numel } from '#models/tensor/tensor.ts';
import { buildTextEncoder, buildUnet, type FloraConfig } from '#pipelines/recipes/flora/network.ts';
import { TOKEN_COUNT, TOKENS, tokenizerConfigJson, tokenizerJson } from '#pipelines/recipes/flora/tokenizer.ts';
import { namedWeights } from '#pipelines/recipes/weights.ts';

export const TINY_CONFIG: FloraConfig = {
  size: 8,
  channels: [8, 8, 8],
  heads: 2,
  textWidth: 8,
  textLayers: 1,
  vocabulary: TOKENS.length,
  padId: 0,
  tokens: TOKEN_COUNT,
  embedding: 16,
};

const SCHEDULER = {
  _class_name: 'DDIMScheduler',
  num_train_timesteps: 1000,
  beta_schedule: 'squaredcos_cap_v2',
  prediction_type: 'v_prediction',
  timestep_spacing: 'trailing',
  clip_sample: false,
  set_alpha_to_one: true,
  steps_offset: 0,
};

/**
 * Writes a text-conditioned pixel-space model of 8×8 pictures with random weights, in the layout of the bundled models. What
 * training starts at zero is random too: its output depends on time, prompt and every weight. A step takes about a
 * millisecond. Returns the folder.
 */
export function writeTinyModel(directory: string, seed = 1): string {
  const json = (path: string, value: object) => writeFileAtomic(join(directory, path), `${JSON.stringify(value)}\n`);
  for (const part of ['unet', 'text_encoder', 'tokenizer', 'scheduler']) {
    mkdirSync(join(directory, part), { recursive: true });
  }
  writeModel(filled(buildTextEncoder(TINY_CONFIG, seed), seed), join(directory, 'text_encoder', 'model.onnx'));
  writeModel(filled(buildUnet(TINY_CONFIG, seed), seed), join(directory, 'unet', 'model.onnx'));
  json('tokenizer/tokenizer.json', tokenizerJson());
  json('tokenizer/tokenizer_config.json', tokenizerConfigJson());
  json('scheduler/scheduler_config.json', SCHEDULER);
  json('northlight.json', { name: 'Tiny', description: 'Random weights.', examplePrompts: ['a red tulip'] });
  json('model_index.json', { _class_name: 'DDPMPipeline', unet: ['diffusers', 'OnnxRuntimeModel'] });
  return directory;
}

/** Gives every weight that is all zeros random numbers, small enough that the output stays of order one. */
function filled(model: Model, seed: number): Model {
  const initializers = new Map(model.graph.initializers);
  for (const name of namedWeights(model)) {
    const t = initializers.get(name)!;
    if (isExternal(t) || t.dtype !== 'float32' || t.data.some((v) => v !== 0)) continue;
    const scale = t.dims.length > 1 ? 0.7 / Math.sqrt(numel(t.dims) / t.dims.at(t.dims.length === 2 ? -1 : 0)!) : 0.1;
    const rng = new Rng(seed).fork('filled', name);
    initializers.set(
      name,
      f32(
        t.dims,
        rng.fillNormal(new Float32Array(numel(t.dims))).map((v) => v * scale),
      ),
    );
  }
  return { ...model, graph: { ...model.graph, initializers } };
}
