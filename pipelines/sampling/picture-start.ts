import { NorthlightError } from '#models/errors.ts';
import type { ImageModel } from '#models/families/family.ts';
import { Rng } from '#models/tensor/rng.ts';
import { numel, type Tensor } from '#models/tensor/tensor.ts';
import type { KnownPart } from './image-to-image.ts';
import { compose, feathered, hidden, latentMask } from './inpaint.ts';
import type { VaeEncoder } from './vae.ts';

/** A picture to start from, and what of it may change. */
export interface PictureStart {
  /** `[3, H, W]` in −1…1, of the size that is made. */
  readonly picture: Tensor<'float32'>;
  /** SHA-256 of the files that picture and mask were read from. */
  readonly pictureHash: string;
  readonly maskHash: string | null;
  /** 0 keeps the picture, 1 makes a new one; see `skippedSteps`. */
  readonly strength: number;
  /** `[H·W]`: 1 where the picture shall change, 0 where it stays; null: everywhere. */
  readonly mask: Float32Array | null;
}

/** A start in terms of one model. */
export interface PreparedStart {
  /** What a network for inpainting reads after the channels of the sample: mask, then the hidden picture's latent. */
  readonly extraChannels?: Float32Array;
  /** What the loop begins with for these rows. */
  of(rows: readonly { readonly seed: number; readonly index: number }[]): {
    readonly start?: Float32Array;
    readonly known?: KnownPart;
  };
  /** The finished picture `[3, H, W]` with everything outside the mask and its border as it was. */
  finish(picture: Float32Array): Float32Array;
}

/**
 * Encodes the picture to start from. With a mask, an ordinary model keeps what is known at every step; a model for inpainting
 * is shown it instead (Rombach et al. 2022, arXiv:2112.10752, section 4.5).
 * @param dims of a sample, `[C, h, w]`.
 * @throws {NorthlightError} `sampling/start-channels`, `model/extra-channels`, and of the encoder.
 */
export async function prepareStart(
  model: ImageModel,
  encoder: VaeEncoder,
  { picture, strength, mask }: PictureStart,
  dims: readonly number[],
): Promise<PreparedStart> {
  const [, height, width] = picture.dims as [number, number, number];
  const [channels, h, w] = dims as [number, number, number];
  if (model.vae === null && channels !== 3) {
    throw new NorthlightError(
      'sampling/start-channels',
      `The model makes pictures of ${channels} channels; only those of 3 can start from a picture.`,
      'Leave the picture out.',
    );
  }
  const extra = model.denoiser.extraChannels;
  if (extra !== 0 && extra !== channels + 1) {
    throw new NorthlightError(
      'model/extra-channels',
      `${model.denoiser.component.path} reads ${extra} channels besides the sample; a model for inpainting would read ${channels + 1}.`,
      'Choose a model for text to image or for inpainting.',
    );
  }
  const law = await encoder.encode(picture);
  if (law.dims.join() !== dims.join()) {
    throw new NorthlightError(
      'sampling/shape',
      `The encoder made [${law.dims.join(', ')}] of the picture; the model wants [${dims.join(', ')}].`,
      'Check that vae_encoder belongs to this model.',
    );
  }
  const everything = mask ?? new Float32Array(width * height).fill(1);
  const cells = latentMask(everything, width, height, height / h);
  const size = numel(dims);
  const shares = mask && model.vae ? feathered(mask, width, height, height / h) : null;
  return {
    ...(extra > 0 ? { extraChannels: await shown(encoder, picture, everything, cells) } : {}),
    of(rows) {
      const clean = new Float32Array(rows.length * size);
      const change = new Float32Array(rows.length * size);
      for (const [r, { seed, index }] of rows.entries()) {
        clean.set(encoder.latent(law, new Rng(seed).fork('noise', index, 'encode')), r * size);
        for (let c = 0; c < channels; c++) change.set(cells, r * size + c * h * w);
      }
      // At full strength what changes begins as noise, and nothing of the picture shines through.
      return {
        ...(mask === null || strength < 1 ? { start: clean } : {}),
        ...(mask !== null && extra === 0 ? { known: { clean, change } } : {}),
      };
    },
    finish: (made) => (shares ? compose(made, picture.data, shares) : made),
  };
}

async function shown(
  encoder: VaeEncoder,
  picture: Tensor<'float32'>,
  mask: Float32Array,
  cells: Float32Array,
): Promise<Float32Array> {
  const latent = encoder.latent(await encoder.encode(hidden(picture, mask)), null);
  const out = new Float32Array(cells.length + latent.length);
  out.set(cells);
  out.set(latent, cells.length);
  return out;
}
