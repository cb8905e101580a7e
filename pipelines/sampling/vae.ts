import { NorthlightError } from '#models/errors.ts';
import type { Port, Session } from '#models/runtime/session.ts';
import type { Rng } from '#models/tensor/rng.ts';
import { f32, numel, type Tensor } from '#models/tensor/tensor.ts';
import { outputNumbers, toPort } from './feeds.ts';
import { inTiles } from './tiles.ts';
import { isOutOfMemory, tileForBudget } from './vae-memory.ts';

/** How latents of the autoencoder relate to those of the denoiser: `z = latent / scale + shift`. */
export interface VaeConstants {
  readonly scale: number;
  readonly shift: number;
  /** Pixels per latent, along each side. */
  readonly factor: number;
}

/** Side of tiles in pixels; `auto`: tiles where the whole would take much memory; `off`: never. */
export type Tiling = number | 'auto' | 'off';

export interface DecodeOptions {
  readonly tile?: Tiling;
  /** Told when memory did not suffice and smaller tiles are tried. */
  readonly onSmallerTiles?: (message: string) => void;
  /** Told before each tile. */
  readonly onTile?: (done: number, total: number) => void;
}

export interface VaeDecoder {
  /** `[C, h, w]` as the denoiser left it to a picture `[3, H, W]` in −1…1; `tile`: side in pixels of the tiles, null for none. */
  decode(
    latent: Tensor<'float32'>,
    options?: DecodeOptions,
  ): Promise<{ readonly picture: Tensor<'float32'>; readonly tile: number | null }>;
}

/** What exports of decoders call what they take and give. */
export const LATENT_INPUTS: readonly string[] = ['latent_sample', 'latents', 'z', 'sample'];
export const PICTURE_OUTPUTS: readonly string[] = ['sample', 'image', 'images'];

/** Tiles in latents to fall back on, the largest first. */
const SMALLER = [64, 32, 16];

/**
 * The decoder of an autoencoder: Rombach et al. 2022 (arXiv:2112.10752), section 3.1. An export for one size decodes larger
 * latents in tiles of its size.
 * @throws {NorthlightError} `vae/size` for latents smaller than a fixed export, `vae/not-finite`.
 */
export function createVaeDecoder(session: Session, { scale, shift, factor }: VaeConstants): VaeDecoder {
  const port = inputOf(session, LATENT_INPUTS);
  const output = outputOf(session, PICTURE_OUTPUTS);
  const run = async (latent: Tensor<'float32'>): Promise<Tensor<'float32'>> => {
    const picture = await runRow(
      session,
      port,
      output,
      f32(
        latent.dims,
        latent.data.map((v) => v / scale + shift),
      ),
    );
    if (picture.data.every(Number.isFinite)) return picture;
    throw new NorthlightError(
      'vae/not-finite',
      'The decoder gave numbers that are infinite or none at all, which would be a black picture.',
      port.dtype === 'float16'
        ? 'Decoders in 16 bits overflow with some models: use one in 32 bits, or one published as fixed for fp16.'
        : 'Lower the guidance scale, or check vae_decoder/model.onnx on its own.',
    );
  };
  return {
    async decode(latent, { tile = 'auto', onSmallerTiles, onTile } = {}) {
      const [, h, w] = latent.dims as [number, number, number];
      const fixed = fixedSize(port);
      let side = fixed ? null : sideOf(tile, h, w, factor);
      for (;;) {
        const size: readonly [number, number] = fixed ?? [side ?? h, side ?? w];
        const whole = size[0] >= h && size[1] >= w;
        if (fixed && (h < fixed[0] || w < fixed[1])) throw tooSmall(port, latent.dims, fixed);
        try {
          const picture = whole
            ? await run(latent)
            : await inTiles(latent, { tile: size, cell: 1 }, (piece, number, total) => {
                onTile?.(number, total);
                return run(piece);
              });
          return { picture, tile: whole ? null : size[0] * factor };
        } catch (error) {
          const next = SMALLER.find((s) => s < Math.max(Math.min(size[0], h), Math.min(size[1], w)));
          if (fixed || next === undefined || !isOutOfMemory(error)) throw error;
          onSmallerTiles?.(
            `There was not enough memory to decode ${whole ? 'the whole picture' : `tiles of ${size[0] * factor}`}; trying tiles of ${next * factor} pixels.`,
          );
          side = next;
        }
      }
    },
  };
}

/** Side of tiles in latents, or null for the whole. */
function sideOf(tile: Tiling, h: number, w: number, factor: number): number | null {
  if (tile === 'off') return null;
  if (tile === 'auto') return tileForBudget(h, w, factor);
  return Math.max(8, Math.round(tile / factor));
}

/** What an encoder says of a picture, before a latent is drawn from it, in the autoencoder's own scale. */
export interface LatentLaw {
  /** `[C, h, w]` */
  readonly dims: readonly number[];
  readonly mean: Float32Array;
  /** Null where the export drew already. */
  readonly std: Float32Array | null;
}

export interface VaeEncoder {
  /** A picture `[3, H, W]` in −1…1 to the law of its latent. */
  encode(picture: Tensor<'float32'>): Promise<LatentLaw>;
  /** A latent `[C·h·w]` for the denoiser: a draw of the law, or without `rng` its mode. */
  latent(law: LatentLaw, rng: Rng | null): Float32Array;
}

/** Where samples are pictures themselves. */
export const identityEncoder: VaeEncoder = {
  encode: async ({ dims, data }) => ({ dims, mean: data, std: null }),
  latent: ({ mean }) => mean,
};

/** Bounds of the log-variance, as in the published autoencoder. */
const LOG_VARIANCE = [-30, 20] as const;

/**
 * The encoder of an autoencoder. Twice the channels of a latent are a mean and a log-variance, as many are a latent drawn
 * already.
 * @param options.channels of a latent.
 * @throws {NorthlightError} `vae/channels`, `vae/size`, `vae/not-finite`.
 */
export function createVaeEncoder(
  session: Session,
  { scale, shift, factor, channels }: VaeConstants & { readonly channels: number },
): VaeEncoder {
  const port = inputOf(session, ['sample', 'pixel_values', 'image', 'images']);
  const output = outputOf(session, ['latent_parameters', 'latent_sample']);
  return {
    async encode(picture) {
      const [, height, width] = picture.dims as [number, number, number];
      const fixed = fixedSize(port);
      if (fixed && (height < fixed[0] || width < fixed[1])) throw tooSmall(port, picture.dims, fixed);
      const side = tileForBudget(height / factor, width / factor, factor);
      const tile: readonly [number, number] = fixed
        ? [fixed[0] / factor, fixed[1] / factor]
        : [side ?? height / factor, side ?? width / factor];
      const made = await inTiles(picture, { tile, cell: factor }, (piece) => runRow(session, port, output, piece));
      if (!made.data.every(Number.isFinite)) {
        throw new NorthlightError(
          'vae/not-finite',
          'The encoder gave numbers that are infinite or none at all.',
          'Encoders in 16 bits overflow with some models: use one in 32 bits.',
        );
      }
      return lawOf(made, channels, output);
    },
    latent({ mean, std }, rng) {
      const drawn =
        rng && std ? rng.fillNormal(new Float32Array(mean.length)).map((z, i) => mean[i]! + std[i]! * z) : mean;
      return drawn.map((v) => (v - shift) * scale);
    },
  };
}

function lawOf({ data, dims }: Tensor<'float32'>, channels: number, output: string): LatentLaw {
  const [given, h, w] = dims as [number, number, number];
  const size = channels * h * w;
  if (given === channels) return { dims, mean: data, std: null };
  if (given !== 2 * channels) {
    throw new NorthlightError(
      'vae/channels',
      `The encoder's output "${output}" has ${given} channels; latents of this model have ${channels}.`,
      'Use the encoder that belongs to this model.',
    );
  }
  const [low, high] = LOG_VARIANCE;
  const std = data.slice(size).map((v) => Math.exp(Math.min(high, Math.max(low, v)) / 2));
  return { dims: [channels, h, w], mean: data.slice(0, size), std };
}

/** One `[C, H, W]` through a graph of `[B, C, H, W]`, as often as the export fixed the batch. */
async function runRow(session: Session, port: Port, output: string, x: Tensor<'float32'>): Promise<Tensor<'float32'>> {
  const rows = typeof port.dims[0] === 'number' && port.dims[0] > 0 ? port.dims[0] : 1;
  const data = rows === 1 ? x.data : new Float32Array(rows * x.data.length);
  if (rows > 1) for (let r = 0; r < rows; r++) data.set(x.data, r * x.data.length);
  const made = (await session.run({ [port.name]: toPort(port.dtype, f32([rows, ...x.dims], data)) }, [output]))[
    output
  ]!;
  const dims = made.dims.slice(1);
  return f32(dims, outputNumbers(made).slice(0, numel(dims)));
}

function inputOf(session: Session, names: readonly string[]): Port {
  const port = names.map((name) => session.inputs.find((p) => p.name === name)).find(Boolean) ?? session.inputs[0]!;
  if (port.dims.length === 4 && session.inputs.length === 1) return port;
  throw new NorthlightError(
    'vae/signature',
    `The autoencoder reads ${session.inputs.map((p) => `${p.name} [${p.dims.join(', ')}]`).join(' and ')}, not one array [B, C, H, W].`,
    'Export the encoder and the decoder of the model as two graphs.',
  );
}

const outputOf = (session: Session, names: readonly string[]): string =>
  names.find((name) => session.outputs.some((p) => p.name === name)) ?? session.outputs[0]!.name;

/** Height and width, where the export fixed both. */
function fixedSize({ dims }: Port): readonly [number, number] | null {
  const [, , h, w] = dims;
  return typeof h === 'number' && typeof w === 'number' && h > 0 && w > 0 ? [h, w] : null;
}

function tooSmall(port: Port, dims: readonly number[], fixed: readonly [number, number]): NorthlightError {
  return new NorthlightError(
    'vae/size',
    `The autoencoder's input "${port.name}" was exported for ${fixed[1]}x${fixed[0]} and is given ${dims[2]}x${dims[1]}.`,
    'Make larger pictures, or export the autoencoder with free sizes.',
  );
}
