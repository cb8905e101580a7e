import { f32, type Tensor } from '#models/tensor/tensor.ts';
import type { EncodedText, Feeds, GuidanceKind, ImageModel, TextPart, VaePlan } from './family.ts';
import { guidanceEmbedding } from './guidance-embedding.ts';
import { latentChannels, sizePlan, type VaeConstants, vaePlan } from './latent.ts';
import {
  checkInputs,
  fixed,
  inputNamed,
  inputOf,
  numberIn,
  requiredDenoiser,
  requiredScheduler,
  resultOf,
} from './ports.ts';
import { textPart } from './text-part.ts';
import { joinFeatures } from './text-shapes.ts';
import type { Component, FoundFolder } from './types.ts';

/** What tells the families of latent U-Nets apart. */
export interface UnetFamily {
  readonly name: string;
  readonly title: string;
  readonly vae: VaeConstants;
  /** Side in pixels where neither graph nor configuration says. */
  readonly size: number;
  readonly guidance: GuidanceKind;
  readonly defaults: ImageModel['defaults'];
  /** Keys of the scheduler's configuration where the file is silent. */
  readonly scheduler?: Readonly<Record<string, unknown>>;
}

const INPUTS = ['sample', 'timestep', 'encoder_hidden_states', 'text_embeds', 'time_ids', 'timestep_cond'];

/** Whether the denoiser is a U-Net that reads a prompt. */
export function isTextUnet(found: FoundFolder): boolean {
  const denoiser = found.components.get('denoiser');
  return ['sample', 'timestep', 'encoder_hidden_states'].every((name) => inputOf(denoiser, name) !== undefined);
}

/** Width of the prompt's vectors that the denoiser reads. */
export function contextWidth(denoiser: Component | undefined): number | undefined {
  const declared = fixed(inputOf(denoiser, 'encoder_hidden_states')?.dims[2]);
  return declared ?? numberIn(denoiser?.config ?? null, 'cross_attention_dim');
}

/** A latent U-Net: Stable Diffusion 1 and 2, SDXL and its refiner, and what was distilled from them. @throws `model/…` */
export function openUnet(found: FoundFolder, family: UnetFamily): ImageModel {
  const denoiser = requiredDenoiser(found);
  checkInputs(denoiser, INPUTS, family.title);
  const vae = vaePlan(found, family.vae);
  const sample = inputNamed(denoiser, ['sample']);
  const output = resultOf(denoiser);
  const { channels, extraChannels } = channelsOf(denoiser, vae);
  const blocks = denoiser.config.block_out_channels;
  const multiple = 2 ** ((Array.isArray(blocks) ? blocks.length : 4) - 1);
  const xl = inputOf(denoiser, 'text_embeds') !== undefined;
  return {
    family: family.name,
    title: family.title,
    denoiser: {
      component: denoiser,
      sample: sample.name,
      timestep: 'timestep',
      output: output.name,
      channels,
      extraChannels,
      packed: false,
      timestepScale: 1,
    },
    vae,
    text: xl ? xlText(found) : [oneText(found, denoiser)],
    classes: null,
    size: sizePlan(denoiser, vae, [fixed(sample.dims[2]), fixed(sample.dims[3])], family.size, multiple),
    guidance: family.guidance,
    defaults: family.defaults,
    schedulerConfig: { ...family.scheduler, ...requiredScheduler(found) },
    condition: xl
      ? (encoded, text, branch) => {
          // As SDXL was trained: nothing to avoid is nothing at all, not the encoding of an empty text.
          const zero = branch === 'negative' && text === '' && found.index.force_zeros_for_empty_prompt === true;
          const feeds = xlCondition(encoded);
          return zero
            ? new Map([...feeds].map(([name, t]) => [name, f32(t.dims, new Float32Array(t.data.length))]))
            : feeds;
        }
      : ([first]) => new Map([['encoder_hidden_states', first!.hidden!]]),
    constants: (request, branch) => {
      const feeds = new Map<string, Tensor<'float32'>>();
      const timeIds = inputOf(denoiser, 'time_ids');
      if (timeIds) {
        const aesthetic = (fixed(timeIds.dims[1]) ?? (found.index.requires_aesthetics_score === true ? 5 : 6)) === 5;
        feeds.set('time_ids', sizeNumbers(request, aesthetic ? AESTHETIC[branch] : null));
      }
      const condition = inputOf(denoiser, 'timestep_cond');
      if (condition) {
        const width = fixed(condition.dims[1]) ?? numberIn(denoiser.config, 'time_cond_proj_dim') ?? 256;
        feeds.set('timestep_cond', guidanceEmbedding(request.guidanceScale, width));
      }
      return feeds;
    },
  };
}

/** Aesthetic scores that SDXL's refiner was told in its reference pipeline. */
const AESTHETIC = { prompt: 6, negative: 2.5 } as const;

/**
 * SDXL's micro-conditioning (Podell et al. 2023, arXiv:2307.01952, section 2.2): original height and width, crop top and left,
 * then target height and width, or the refiner's aesthetic score.
 */
function sizeNumbers(
  { width, height }: { width: number; height: number },
  aesthetic: number | null,
): Tensor<'float32'> {
  const numbers = aesthetic === null ? [height, width, 0, 0, height, width] : [height, width, 0, 0, aesthetic];
  return f32([numbers.length], numbers);
}

/** A network for inpainting reads more channels than it gives. */
function channelsOf(denoiser: Component, vae: VaePlan): { channels: number; extraChannels: number } {
  const read = fixed(inputNamed(denoiser, ['sample']).dims[1]) ?? numberIn(denoiser.config, 'in_channels');
  const given =
    fixed(resultOf(denoiser).dims[1]) ?? numberIn(denoiser.config, 'out_channels') ?? latentChannels(vae) ?? read ?? 4;
  return { channels: given, extraChannels: Math.max(0, (read ?? given) - given) };
}

function oneText(found: FoundFolder, denoiser: Component): TextPart {
  const exactTokens = fixed(inputOf(denoiser, 'encoder_hidden_states')?.dims[1]);
  return textPart(found, 'text_encoder', { layer: 'last', exactTokens, long: exactTokens === undefined });
}

/** Both encoders of SDXL; its refiner has only the second. */
function xlText(found: FoundFolder): TextPart[] {
  const long = fixed(inputOf(found.components.get('denoiser'), 'encoder_hidden_states')?.dims[1]) === undefined;
  const second = textPart(found, 'text_encoder_2', {
    layer: 'second-last',
    pooled: ['text_embeds', 'pooler_output'],
    long,
  });
  const width = contextWidth(found.components.get('denoiser'));
  const own = fixed(second.component.signature.outputs.find((p) => p.name === second.hidden)?.dims[2]);
  const alone = !found.components.has('text_encoder') && (own === undefined || width === undefined || own === width);
  return alone ? [second] : [textPart(found, 'text_encoder', { layer: 'second-last', long }), second];
}

function xlCondition(encoded: readonly EncodedText[]): Feeds {
  return new Map([
    ['encoder_hidden_states', joinFeatures(encoded.map((e) => e.hidden!))],
    ['text_embeds', encoded.at(-1)!.pooled!],
  ]);
}
