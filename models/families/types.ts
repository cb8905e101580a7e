import type { Dim } from '#models/onnx/ir.ts';
import type { DType } from '#models/tensor/tensor.ts';

/** An input or output of a graph as its file declares it. */
export interface SignaturePort {
  readonly name: string;
  readonly dtype: DType;
  /** A number where the export fixed it, a name or null where it is free. */
  readonly dims: readonly Dim[];
}

/** A weight file beside a graph. */
export interface WeightFile {
  /** As the graph names it, relative to the graph's folder. */
  readonly location: string;
  /** Bytes the graph needs it to have. */
  readonly neededBytes: number;
  /** Bytes it has; null when it is missing. */
  readonly foundBytes: number | null;
}

/** What an ONNX file says of itself, read without its weights. */
export interface GraphSignature {
  readonly path: string;
  readonly inputs: readonly SignaturePort[];
  readonly outputs: readonly SignaturePort[];
  /** Domain ('' is the standard's own) → opset. */
  readonly opsets: ReadonlyMap<string, number>;
  readonly producer: string;
  readonly producerVersion: string;
  /** What most of the floating-point weights are stored as. */
  readonly precision: DType | 'none';
  /** Elements of all floating-point weights. */
  readonly parameters: number;
  /** Operator as `domain:type` (or `type` for the standard's) → how often, subgraphs included. */
  readonly operators: ReadonlyMap<string, number>;
  readonly weightFiles: readonly WeightFile[];
  /** The graph file and its weight files together. */
  readonly sizeBytes: number;
}

/** What a graph of a model folder is for. */
export type ComponentRole =
  | 'denoiser'
  | 'text_encoder'
  | 'text_encoder_2'
  | 'text_encoder_3'
  | 'vae_decoder'
  | 'vae_encoder'
  | 'safety_checker';

/** One graph of a model folder with its configuration. */
export interface Component {
  readonly role: ComponentRole;
  /** Absolute path of the graph. */
  readonly path: string;
  readonly signature: GraphSignature;
  /** `config.json` beside the graph; empty when there is none. */
  readonly config: Readonly<Record<string, unknown>>;
}

/** A model folder as found on disk, before anybody says what family it is. */
export interface FoundFolder {
  readonly path: string;
  /** `model_index.json`. */
  readonly index: Readonly<Record<string, unknown>>;
  /** Its `_class_name`. */
  readonly className: string;
  readonly components: ReadonlyMap<ComponentRole, Component>;
  /** Folders of tokenizers by name: `tokenizer`, `tokenizer_2`, `tokenizer_3`. */
  readonly tokenizers: ReadonlyMap<string, string>;
  /** `scheduler_config.json`; null when there is none. */
  readonly schedulerConfig: Readonly<Record<string, unknown>> | null;
}
