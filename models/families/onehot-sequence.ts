import { NorthlightError } from '#models/errors.ts';
import { checkInputs, inputNamed, inputOf, required, requiredScheduler, resultOf } from './ports.ts';
import { checkSize, parseSequenceConfig, type SequenceBase, sequenceBase } from './sequence-config.ts';
import type { FoundFolder, SignaturePort } from './types.ts';

/** A network that denoises sequences as arrays of numbers: one channel per letter, 1 where it stands and −1 elsewhere. */
export interface OneHotModel extends SequenceBase {
  readonly kind: 'one-hot';
  /** Shape of one sample: `[A, L]` or `[1, A, L]`. */
  readonly dims: readonly number[];
  /** Token id of each channel. */
  readonly channels: readonly number[];
  readonly sample: SignaturePort;
  readonly time: SignaturePort;
  readonly classLabels: SignaturePort | null;
  readonly output: SignaturePort;
}

/**
 * A `OneHotDiffusionPipeline`: `sample` `[B, A, L]` or `[B, 1, A, L]` in −1…1, `timestep`, optional `class_labels`, to what the
 * scheduler's `prediction_type` says; A letters and L positions. DaSilva et al. 2024 (DNA-Diffusion) has 1 × 4 × 200.
 * @throws {NorthlightError} `model/missing-file`, `model/config`, `model/signature`, `model/unknown-input`.
 */
export function openOneHotSequence(found: FoundFolder): OneHotModel {
  const denoiser = required(found, 'denoiser', 'The denoiser');
  const config = parseSequenceConfig(denoiser);
  const base = sequenceBase(found, denoiser, config);
  requiredScheduler(found);
  const [length, longest] = base.length;
  if (length !== longest) {
    throw new NorthlightError(
      'model/config',
      `${denoiser.path}: its config.json has lengths from ${length} to ${longest}; a one-hot model has one.`,
      'Write "length" as a single number.',
    );
  }
  const sample = inputNamed(denoiser, ['sample', 'x']);
  const time = inputNamed(denoiser, ['timestep', 'timesteps', 'time', 't']);
  checkInputs(denoiser, [sample.name, time.name, 'class_labels'], 'one-hot sequence');
  const rank = sample.dims.length;
  if (sample.dtype !== 'float32' || (rank !== 3 && rank !== 4)) {
    throw new NorthlightError(
      'model/signature',
      `${denoiser.path} takes ${sample.dtype} [${sample.dims.join(', ')}] at "${sample.name}".`,
      'A one-hot model takes float32 [batch, letters, length] or [batch, 1, letters, length].',
    );
  }
  if (rank === 4) checkSize(denoiser, sample, 1, 1, 'planes');
  checkSize(denoiser, sample, rank - 2, base.alphabet.length, 'letters');
  checkSize(denoiser, sample, rank - 1, length, 'length');
  return {
    ...base,
    kind: 'one-hot',
    dims: rank === 4 ? [1, base.alphabet.length, length] : [base.alphabet.length, length],
    channels: [...(config.channels_order ?? base.alphabet)].map((letter) => base.alphabet.indexOf(letter)),
    sample,
    time,
    classLabels: inputOf(denoiser, 'class_labels') ?? null,
    output: resultOf(denoiser),
  };
}
