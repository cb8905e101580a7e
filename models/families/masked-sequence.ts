import { NorthlightError } from '#models/errors.ts';
import { checkInputs, fixed, inputNamed, inputOf, required } from './ports.ts';
import {
  checkSize,
  parseSequenceConfig,
  type SequenceBase,
  type SequenceConfig,
  sequenceBase,
} from './sequence-config.ts';
import type { Component, FoundFolder, SignaturePort } from './types.ts';

/** How a network is told the time: t itself, or the total noise σ(t) = −ln(1 − (1 − eps)·t). */
export interface TimeInput {
  readonly port: SignaturePort;
  readonly quantity: 't' | 'sigma';
}

/** A network that fills in masked positions of a sequence. */
export interface MaskedModel extends SequenceBase {
  readonly kind: 'masked';
  readonly maskId: number;
  /** Fills up what is shorter than the export's fixed length; null where there is none. */
  readonly padId: number | null;
  /** Token ids that a finished sequence may hold. */
  readonly written: readonly number[];
  /** One more than the largest token id. */
  readonly vocabulary: number;
  /** Token id of each column of the network's result; a further one, the mask's, is not looked at. */
  readonly columns: readonly number[];
  /** Positions that the export was fixed to; null where they are free. */
  readonly positions: number | null;
  /** Sequences of one call that the export was fixed to; null where they are free. */
  readonly batch: number | null;
  readonly ids: SignaturePort;
  /** Null for a network that is not told the time. */
  readonly time: TimeInput | null;
  /** False: it gives the same at any time. */
  readonly timeConditioned: boolean;
  readonly classLabels: SignaturePort | null;
  readonly output: SignaturePort;
}

const ID_NAMES = ['input_ids', 'tokens', 'x'];
const TIME_NAMES = ['timestep', 'timesteps', 'sigma', 't'];

/**
 * A `MaskedDiffusionPipeline`: `input_ids [B, L]`, optional `timestep` and `class_labels`, to logits `[B, L, V]`, V the size of the
 * alphabet, or one more with the mask's column.
 * @throws {NorthlightError} `model/missing-file`, `model/config`, `model/signature`, `model/unknown-input`.
 */
export function openMaskedSequence(found: FoundFolder): MaskedModel {
  const denoiser = required(found, 'denoiser', 'The denoiser');
  const config = parseSequenceConfig(denoiser);
  const base = sequenceBase(found, denoiser, config);
  const refuse = (what: string, hint: string) =>
    new NorthlightError('model/signature', `${denoiser.path} ${what}`, hint);
  const maskId = config.mask_token_id;
  if (maskId === undefined) {
    throw new NorthlightError(
      'model/config',
      `${denoiser.path}: its config.json has no "mask_token_id".`,
      'Add the token id of the mask; 4 for the alphabet ACGT with the mask behind it.',
    );
  }
  const ids = inputNamed(denoiser, ID_NAMES);
  if ((ids.dtype !== 'int64' && ids.dtype !== 'int32') || ids.dims.length !== 2) {
    throw refuse(
      `takes ${ids.dtype} [${ids.dims.join(', ')}] at "${ids.name}".`,
      'A masked model takes token ids, int64 [batch, length].',
    );
  }
  const time = timeInput(denoiser, config);
  const names = [ids.name, ...(time ? [time.port.name] : []), 'class_labels'];
  checkInputs(denoiser, names, 'masked sequence');
  const [output] = denoiser.signature.outputs.filter((p) => p.name === 'logits').concat(denoiser.signature.outputs);
  if (output === undefined || output.dims.length !== 3) {
    throw refuse(
      `gives [${output?.dims.join(', ') ?? ''}] as "${output?.name ?? ''}".`,
      'A masked model gives logits [batch, length, vocabulary].',
    );
  }
  const padId = config.pad_token_id ?? null;
  const positions = fixed(ids.dims[1]) ?? null;
  const [shortest, longest] = base.length;
  checkSize(denoiser, ids, 1, longest, 'length');
  if (positions !== null && shortest < positions && padId === null) {
    throw refuse(
      `was exported for ${positions} positions only, and its config.json has no "pad_token_id" to fill up shorter sequences.`,
      'Add "pad_token_id", or export the network with a free length.',
    );
  }
  return {
    ...base,
    kind: 'masked',
    maskId,
    padId,
    written: [...base.alphabet].map((_, i) => i).filter((i) => i !== maskId && i !== padId),
    vocabulary: Math.max(base.alphabet.length - 1, maskId, padId ?? 0) + 1,
    columns: columnsOf(denoiser, config, output, maskId),
    positions,
    batch: fixed(ids.dims[0]) ?? null,
    ids,
    time,
    timeConditioned: time !== null && config.time_conditioning,
    classLabels: inputOf(denoiser, 'class_labels') ?? null,
    output,
  };
}

function timeInput(denoiser: Component, { timestep }: SequenceConfig): TimeInput | null {
  const name = timestep.name ?? TIME_NAMES.find((n) => inputOf(denoiser, n) !== undefined);
  if (name === undefined) return null;
  const port = inputNamed(denoiser, [name]);
  if (!port.dtype.startsWith('float') || port.dims.length > 1) {
    throw new NorthlightError(
      'model/signature',
      `${denoiser.path} takes ${port.dtype} [${port.dims.join(', ')}] as the time "${name}".`,
      'A masked model takes it as a float, [batch] or a single number, in 0…1.',
    );
  }
  return { port, quantity: timestep.quantity ?? (name === 'sigma' ? 'sigma' : 't') };
}

/** Columns are token ids unless `channels_order` says otherwise; the mask's own comes last where it is not a letter. */
function columnsOf(denoiser: Component, config: SequenceConfig, output: SignaturePort, maskId: number): number[] {
  const { alphabet } = config;
  const size = fixed(output.dims[2]);
  const letters = alphabet.length;
  if (size !== undefined && size !== letters && !(size === letters + 1 && maskId >= letters)) {
    throw new NorthlightError(
      'model/signature',
      `${denoiser.path} gives ${size} numbers per position for an alphabet of ${letters} letters (${alphabet}).`,
      'The alphabet in config.json must name every token, with or without the mask.',
    );
  }
  return [...(config.channels_order ?? alphabet)].map((letter) => alphabet.indexOf(letter));
}
