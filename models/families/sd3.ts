import { f32, type Tensor } from '#models/tensor/tensor.ts';
import type { EncodedText, ImageFamily, ImageModel } from './family.ts';
import { fixed, inputNamed, inputOf, numberIn } from './ports.ts';
import { textPart } from './text-part.ts';
import { joinFeatures, joinSequence, padFeatures } from './text-shapes.ts';
import { openTransformer, unpackedPlan } from './transformer.ts';
import type { FoundFolder } from './types.ts';

const TITLE = 'Stable Diffusion 3';
const INPUTS = ['hidden_states', 'encoder_hidden_states', 'pooled_projections', 'timestep'];

/** Stable Diffusion 3 and 3.5 (Esser et al. 2024, arXiv:2403.03206): a flow-matching transformer with up to three text encoders. */
export const sd3: ImageFamily = {
  name: 'sd3',
  title: TITLE,
  classNames: /StableDiffusion3/,
  fits: (found) => {
    const denoiser = found.components.get('denoiser');
    return (
      inputOf(denoiser, 'pooled_projections') !== undefined && inputOf(denoiser, 'hidden_states')?.dims.length === 4
    );
  },
  open,
};

/** Tokens of the T5 part, as the reference pipeline has them. */
const T5_TOKENS = 256;

function open(found: FoundFolder): ImageModel {
  const opened = openTransformer(found, {
    name: 'sd3',
    title: TITLE,
    inputs: INPUTS,
    sample: ['hidden_states'],
    vae: { scalingFactor: 1.5305, shiftFactor: 0.0609 },
  });
  const context = inputNamed(opened.network, ['encoder_hidden_states']);
  const width = fixed(context.dims[2]) ?? numberIn(opened.network.config, 'joint_attention_dim') ?? 4096;
  const sequence = fixed(context.dims[1]);
  const long = sequence === undefined;
  const clip = { layer: 'second-last', pooled: ['text_embeds', 'pooler_output'], long } as const;
  const text = [textPart(found, 'text_encoder', clip), textPart(found, 'text_encoder_2', clip)];
  const clipTokens = text[0]!.tokens;
  if (found.components.has('text_encoder_3')) {
    const exactTokens = sequence === undefined ? undefined : sequence - clipTokens;
    text.push(textPart(found, 'text_encoder_3', { layer: 'last', exactTokens, tokens: T5_TOKENS, emphasis: false }));
  }
  return {
    ...opened.common,
    ...unpackedPlan(opened, 16, 1024),
    text,
    classes: null,
    guidance: 'classifier-free',
    defaults: { steps: 28, guidanceScale: 7 },
    schedulerConfig: { shift: 3, ...opened.common.schedulerConfig },
    condition: (encoded) =>
      new Map([
        ['encoder_hidden_states', contextOf(encoded, width, clipTokens, sequence)],
        ['pooled_projections', pooledOf(encoded)],
      ]),
    constants: () => new Map(),
  };
}

/**
 * Both CLIP texts side by side, filled up with zeros to the transformer's width; then T5's, or, without T5, zeros as many as
 * the reference pipeline puts there.
 */
function contextOf(
  [first, second, t5]: readonly EncodedText[],
  width: number,
  clipTokens: number,
  sequence: number | undefined,
): Tensor<'float32'> {
  const clip = padFeatures(joinFeatures([first!.hidden!, second!.hidden!]), width);
  const rest = sequence === undefined ? clipTokens : Math.max(0, sequence - clip.dims[0]!);
  return joinSequence([clip, t5?.hidden ?? f32([rest, width], new Float32Array(rest * width))]);
}

function pooledOf([first, second]: readonly EncodedText[]): Tensor<'float32'> {
  const [a, b] = [first!.pooled!.data, second!.pooled!.data];
  const out = new Float32Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return f32([out.length], out);
}
