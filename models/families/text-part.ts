import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import type { TextPart, TextRole } from './family.ts';
import { fixed, inputNamed, numberIn, required } from './ports.ts';
import type { Component, FoundFolder } from './types.ts';

export interface TextPartOptions {
  /** Which of the encoder's layers has the vectors per token; `none` when only the pooled one is wanted. */
  readonly layer: 'last' | 'second-last' | 'none';
  /** Outputs that may hold the pooled vector, the first that is there; absent: it is not wanted. */
  readonly pooled?: readonly string[];
  /** Tokens where neither the graph nor its configuration says. Default 77. */
  readonly tokens?: number;
  /** Tokens whatever the configuration says, as the denoiser fixed them. */
  readonly exactTokens?: number | undefined;
  readonly long?: boolean;
  readonly emphasis?: boolean;
  readonly masksPadding?: boolean;
}

/**
 * A text encoder of a folder, with the outputs that its family reads.
 * @throws {NorthlightError} `model/missing-file`, `model/signature`
 */
export function textPart(found: FoundFolder, role: TextRole, options: TextPartOptions): TextPart {
  const component = required(found, role, 'The denoiser reads a prompt, but its text encoder');
  const name = role.replace('text_encoder', 'tokenizer');
  const tokenizer = found.tokenizers.get(name) ?? join(found.path, name);
  if (!['tokenizer.json', 'vocab.json', 'spiece.model'].some((file) => existsSync(join(tokenizer, file)))) {
    throw new NorthlightError(
      'model/missing-file',
      `The denoiser reads a prompt, but ${name}/tokenizer.json (or vocab.json with merges.txt) is missing in ${found.path}.`,
      'Copy the whole folder, the text encoder and tokenizer included.',
    );
  }
  const ids = inputNamed(component, ['input_ids']);
  const declared = fixed(ids.dims[1]);
  const tokens =
    declared ?? options.exactTokens ?? numberIn(component.config, 'max_position_embeddings') ?? options.tokens ?? 77;
  return {
    component,
    tokenizer,
    tokens,
    long: options.long ?? false,
    hidden: options.layer === 'none' ? null : hiddenOutput(component, options.layer),
    earlier: options.layer === 'none' ? [] : earlierOutputs(component, options.layer),
    normed: options.layer === 'last',
    pooled: options.pooled ? pooledOutput(component, options.pooled) : null,
    emphasis: options.emphasis ?? true,
    masksPadding: options.masksPadding ?? false,
  };
}

function hiddenOutput(component: Component, layer: 'last' | 'second-last'): string {
  const names = component.signature.outputs.map((p) => p.name);
  if (layer === 'last') {
    const tokenwise = component.signature.outputs.find((p) => p.dims.length === 3)?.name;
    const name = names.includes('last_hidden_state') ? 'last_hidden_state' : (tokenwise ?? names[0]);
    if (name !== undefined) return name;
  } else {
    const chosen = layersOf(component).at(-2);
    if (chosen !== undefined) return `hidden_states.${chosen}`;
  }
  throw new NorthlightError(
    'model/signature',
    `${component.path} gives no hidden states of its layers, and this model reads the last layer but one.`,
    'Export the text encoder with its hidden states (output_hidden_states).',
  );
}

/** Numbers of the outputs `hidden_states.i`, ascending: 0 is what enters the first layer, the highest what leaves the last. */
const layersOf = ({ signature }: Component): number[] =>
  signature.outputs
    .flatMap(({ name }) => /^hidden_states\.(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);

function earlierOutputs(component: Component, layer: 'last' | 'second-last'): string[] {
  const before = layersOf(component).slice(0, layer === 'last' ? -1 : -2);
  // What enters the first layer has read nothing yet.
  return before
    .filter((i) => i > 0)
    .reverse()
    .map((i) => `hidden_states.${i}`);
}

function pooledOutput(component: Component, wanted: readonly string[]): string {
  const names = component.signature.outputs.map((p) => p.name);
  const name =
    wanted.find((w) => names.includes(w)) ?? component.signature.outputs.find((p) => p.dims.length === 2)?.name;
  if (name !== undefined) return name;
  throw new NorthlightError(
    'model/signature',
    `${component.path} gives no "${wanted[0]}", which the denoiser reads.`,
    `It gives: ${names.join(', ')}. Export the text encoder with its projection.`,
  );
}
