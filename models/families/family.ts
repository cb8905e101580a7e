import type { Tensor } from '#models/tensor/tensor.ts';
import type { Component, ComponentRole, FoundFolder } from './types.ts';

/** Inputs of a denoiser for one sample, by name, each without its batch axis. */
export type Feeds = ReadonlyMap<string, Tensor<'float32'>>;

/** With guidance a sample goes through the network twice: for what is wanted, and for what to steer away from. */
export type Branch = 'prompt' | 'negative';

/** What the denoiser reads and gives, and how a sample and a timestep are put to it. */
export interface DenoiserPlan {
  readonly component: Component;
  /** Names of the inputs for the sample and the timestep, and of the output. */
  readonly sample: string;
  readonly timestep: string;
  readonly output: string;
  /** Channels of a sample. */
  readonly channels: number;
  /** Channels that the network reads after those of the sample, as inpainting models do. */
  readonly extraChannels: number;
  /** Whether each 2×2 patch is one token, `[H·W/4, 4·C]` (pack.ts), in place of `[C, H, W]`. */
  readonly packed: boolean;
  /** The network is told `timestep · timestepScale`: 0.001 where it wants 0…1. */
  readonly timestepScale: number;
}

/** How a latent becomes a picture: the decoder reads `latent / scalingFactor + shiftFactor`. */
export interface VaePlan {
  readonly decoder: Component;
  readonly encoder: Component | null;
  /** Pixels per latent element, along each side. */
  readonly scaleFactor: number;
  readonly scalingFactor: number;
  readonly shiftFactor: number;
}

/** One text encoder, with its tokenizer. */
export interface TextPart {
  readonly component: Component;
  /** Folder of the tokenizer. */
  readonly tokenizer: string;
  /** Tokens of one run of the encoder. */
  readonly tokens: number;
  /** Whether a text may take several runs, joined along the sequence. */
  readonly long: boolean;
  /** Output with one vector per token; null when only the pooled one is used. */
  readonly hidden: string | null;
  /** Outputs of the layers before that one, the nearest first; empty where the graph does not give them. */
  readonly earlier: readonly string[];
  /** Whether `hidden` is the encoder's final norm of its last layer. */
  readonly normed: boolean;
  /** Output with one vector for the text; null when it is not used. */
  readonly pooled: string | null;
  /** Whether weights of words act on it: CLIP's hidden states bear them, T5's do not. */
  readonly emphasis: boolean;
  /** Whether an `attention_mask` input leaves padding out; otherwise it is all ones. */
  readonly masksPadding: boolean;
}

/** A text as one encoder gave it. */
export interface EncodedText {
  /** `[S, D]` */
  readonly hidden: Tensor<'float32'> | null;
  /** `[P]` */
  readonly pooled: Tensor<'float32'> | null;
  /** `[S]`, 1 where a token of the text stands and 0 at padding. */
  readonly mask: Tensor<'float32'>;
}

/** What the pictures shall be, as far as the network is told. */
export interface PictureRequest {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  readonly guidanceScale: number;
}

export interface SizePlan {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  /** Both sides are multiples of it. */
  readonly multiple: number;
  /** False where the export fixed the size. */
  readonly free: boolean;
}

/**
 * How guidance is done. `classifier-free`: two branches unless the scale is 1. `distilled`: made for one branch, two only where
 * the scale is above 1. `embedded`: the network is told the scale; one branch. `none`: there is nothing to steer by.
 */
export type GuidanceKind = 'classifier-free' | 'distilled' | 'embedded' | 'none';

/** An image model as its family understands it: a description, nothing runs yet. */
export interface ImageModel {
  /** As the family is called in files: `sd1`. */
  readonly family: string;
  /** As people call it. */
  readonly title: string;
  readonly denoiser: DenoiserPlan;
  /** Null: samples are pictures already. */
  readonly vae: VaePlan | null;
  readonly text: readonly TextPart[];
  /** Names of classes by their number, for a model of classes; null for others. */
  readonly classes: readonly string[] | null;
  readonly size: SizePlan;
  readonly guidance: GuidanceKind;
  readonly defaults: { readonly steps: number; readonly guidanceScale: number };
  /** `scheduler_config.json`, with what the family needs where the file is silent. */
  readonly schedulerConfig: Readonly<Record<string, unknown>>;
  /** Inputs made of a text, given what each of `text` said of it. */
  condition(encoded: readonly EncodedText[], text: string, branch: Branch): Feeds;
  /** Inputs that are the same for all texts. */
  constants(request: PictureRequest, branch: Branch): Feeds;
}

/** A kind of model: how it is recognised and read. Data and small functions; one file each. */
export interface ImageFamily {
  readonly name: string;
  readonly title: string;
  /** `_class_name` of its pipelines. */
  readonly classNames: RegExp;
  /** Whether the graphs have this family's signature, whatever the folder says its class is. */
  fits(found: FoundFolder): boolean;
  /** @throws {NorthlightError} `model/…` naming the first thing that is missing or unusable. */
  open(found: FoundFolder): ImageModel;
}

export type TextRole = Extract<ComponentRole, `text_encoder${string}`>;
