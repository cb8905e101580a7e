import { NorthlightError } from '#models/errors.ts';
import type { Dim } from '#models/onnx/ir.ts';
import { LAYOUT_HINT } from './find-folder.ts';
import type { Component, ComponentRole, FoundFolder, SignaturePort } from './types.ts';

export function inputOf(component: Component | undefined, name: string): SignaturePort | undefined {
  return component?.signature.inputs.find((p) => p.name === name);
}

export function outputOf(component: Component | undefined, name: string): SignaturePort | undefined {
  return component?.signature.outputs.find((p) => p.name === name);
}

/** The size, where the export fixed it. */
export function fixed(dim: Dim | undefined): number | undefined {
  return typeof dim === 'number' && dim > 0 ? dim : undefined;
}

export function numberIn(config: Readonly<Record<string, unknown>> | null, key: string): number | undefined {
  const value = config?.[key];
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

/** A component that the model cannot do without. @throws {NorthlightError} `model/missing-file` */
export function required(found: FoundFolder, role: ComponentRole, what: string): Component {
  const component = found.components.get(role);
  if (component !== undefined) return component;
  throw new NorthlightError(
    'model/missing-file',
    `${what} is missing: ${found.path}/${role}/model.onnx`,
    'Copy the whole folder, or export the model again with all its parts.',
  );
}

/** @throws {NorthlightError} `model/missing-file` */
export function requiredDenoiser(found: FoundFolder): Component {
  const component = found.components.get('denoiser');
  if (component !== undefined) return component;
  const folder = found.index.transformer ? 'transformer' : 'unet';
  throw new NorthlightError(
    'model/missing-file',
    `The denoiser is missing: ${found.path}/${folder}/model.onnx`,
    LAYOUT_HINT,
  );
}

/** @throws {NorthlightError} `model/missing-file` */
export function requiredScheduler(found: FoundFolder): Readonly<Record<string, unknown>> {
  if (found.schedulerConfig !== null) return found.schedulerConfig;
  throw new NorthlightError(
    'model/missing-file',
    `The scheduler configuration is missing: ${found.path}/scheduler/scheduler_config.json`,
    LAYOUT_HINT,
  );
}

/**
 * Refuses a network that reads something nobody would give it, or numbers of a type that cannot be given.
 * @throws {NorthlightError} `model/unknown-input`, `model/bfloat16`
 */
export function checkInputs(component: Component, known: readonly string[], family: string): void {
  const { inputs, outputs } = component.signature;
  const brief = [...inputs, ...outputs].find((p) => p.dtype === 'bfloat16');
  if (brief !== undefined) {
    throw new NorthlightError(
      'model/bfloat16',
      `${component.path} takes or gives "${brief.name}" in bfloat16, which the runtime does not exchange with programs.`,
      'Export the model in float16 or float32.',
    );
  }
  const strange = component.signature.inputs.map((p) => p.name).filter((name) => !known.includes(name));
  if (strange.length === 0) return;
  const residual = strange.find((name) => name.includes('additional_residual'));
  throw new NorthlightError(
    'model/unknown-input',
    residual === undefined
      ? `${component.path} reads "${strange[0]}"${strange.length > 1 ? ` and ${strange.length - 1} more inputs` : ''}, which a ${family} model does not have.`
      : `${component.path} was exported for ControlNet: it reads "${residual}" and other residuals.`,
    residual === undefined
      ? `Export the plain network, which reads ${known.join(', ')}.`
      : 'Choose the plain export of this model, without ControlNet.',
  );
}

/** The first of `names` that the component reads. @throws {NorthlightError} `model/signature` */
export function inputNamed(component: Component, names: readonly string[]): SignaturePort {
  for (const name of names) {
    const port = inputOf(component, name);
    if (port !== undefined) return port;
  }
  throw new NorthlightError(
    'model/signature',
    `${component.path} lacks the input "${names[0]}".`,
    `It has: ${component.signature.inputs.map((p) => p.name).join(', ')}. Export the network of a diffusers pipeline.`,
  );
}

/** What the denoiser's result is called, by exporter; else its first output. */
export function resultOf(component: Component): SignaturePort {
  for (const name of ['out_sample', 'sample', 'out_hidden_states', 'noise_pred']) {
    const port = outputOf(component, name);
    if (port !== undefined) return port;
  }
  const [first] = component.signature.outputs;
  if (first !== undefined) return first;
  throw new NorthlightError('model/signature', `${component.path} has no output.`, 'Export the model again.');
}
