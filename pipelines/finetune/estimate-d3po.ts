import type { EncodedText, TextPart } from '#models/families/family.ts';
import { latentDims, openModelFolder } from '#models/families/model-folder.ts';
import { type Tensor, zeros } from '#models/tensor/tensor.ts';
import { findLoraTargets, insertLora, loraParameters } from '#models/training/lora.ts';
import { machineRates } from '#models/training/machine-rates.ts';
import { planTraining } from '#models/training/plan.ts';
import { type RunPlan, recordOf } from '#pipelines/runs/run-plan.ts';
import { needsNegative } from '#pipelines/sampling/guidance.ts';
import { readTrajectory } from '#pipelines/sampling/trajectory.ts';
import type { D3poConfig } from './d3po-config.ts';
import { d3poForms } from './d3po-forms.ts';
import { networkPorts, pixelsOf } from './network-ports.ts';
import type { EstimateTask } from './types.ts';

/**
 * What a run would take: memory, seconds per update and in all. No network runs; the first picture's trajectory tells sizes and guidance.
 * @throws {NorthlightError} `train/does-not-fit`
 */
export async function estimateD3po(task: EstimateTask<D3poConfig>): Promise<RunPlan> {
  const { config } = task;
  const { trajectory, origin } = readTrajectory(task.trajectoryPath);
  const folder = openModelFolder(task.modelPath);
  const { model } = folder;
  const pixels = pixelsOf(model, trajectory.dims) ?? model.size;
  const [channels, height, width] = latentDims(model, pixels);
  const dims = model.denoiser.packed ? [(height * width) / 4, 4 * channels] : [channels, height, width];
  const request = { ...pixels, guidanceScale: origin.guidanceScale };
  const inputs = new Map([
    ...model.condition(model.text.map(unencoded), origin.prompt, 'prompt'),
    ...model.constants(request, 'prompt'),
  ]);
  const scale = { rank: config.rank, alpha: config.alpha ?? config.rank };
  const targets = findLoraTargets(folder.unet, config.targets);
  const parameters = new Map<string, Tensor>();
  for (const target of targets) {
    for (const { name, dims: own } of Object.values(loraParameters(target, scale)))
      parameters.set(name, zeros('float32', own));
  }
  const rates = await machineRates(task.threads);
  const forms = d3poForms(
    {
      unet: insertLora(folder.unet, targets, scale, parameters),
      parameters: [...parameters.keys()],
      items: config.itemsPerUpdate,
      dims,
      ports: networkPorts(model, inputs),
      guidanceScale: needsNegative(model.guidance, origin.guidanceScale) ? origin.guidanceScale : null,
      beta: config.beta,
      ratioClip: config.ratioClip,
      kernels: (task.provider ?? 'cpu') === 'cpu' ? 'ort' : 'standard',
      compute: config.compute,
    },
    { ...config, stripPrompts: task.stripPrompts, rates },
  );
  const budgetBytes = config.memoryBudget === null ? undefined : config.memoryBudget * 1e9;
  const plan = planTraining(forms.build, { rates, budgetBytes, parts: forms.parts });
  return recordOf(plan, forms.seconds);
}

/** An encoded text of the right sizes, without its numbers. */
function unencoded(part: TextPart): EncodedText {
  const widthOf = (name: string | null) => {
    const last = part.component.signature.outputs.find((o) => o.name === name)?.dims.at(-1);
    const told = part.component.config.hidden_size ?? part.component.config.d_model;
    return typeof last === 'number' ? last : typeof told === 'number' ? told : 1;
  };
  return {
    hidden: part.hidden === null ? null : zeros('float32', [part.tokens, widthOf(part.hidden)]),
    pooled: part.pooled === null ? null : zeros('float32', [widthOf(part.pooled)]),
    mask: zeros('float32', [part.tokens]),
  };
}
