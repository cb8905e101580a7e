import type { DType, Tensor } from '#models/tensor/tensor.ts';

/**
 * The in-memory form of an ONNX model. It says what `ModelProto` says, with names resolved to JavaScript containers.
 * Node order is a valid execution order. An empty string in `inputs` is an omitted optional input.
 */
export interface Model {
  irVersion: number;
  producerName: string;
  /** domain → version; the default domain is the empty string. */
  opsets: Map<string, number>;
  metadata: Map<string, string>;
  graph: Graph;
  /** Functions that the model defines itself, by `functionKey`; absent when there are none. */
  functions?: Map<string, LocalFunction>;
  /** Folder that external data locations are relative to; undefined for a model made in memory. */
  folder?: string;
  /** When the model's own file is a link: the folder of the file it leads to, where links beside it may lead too. */
  linkedFolder?: string;
}

export interface Graph {
  name: string;
  nodes: Node[];
  inputs: ValueInfo[];
  outputs: ValueInfo[];
  initializers: Map<string, Initializer>;
  /** Known types of intermediate values (ONNX `value_info`). Inputs, outputs and initialisers are not repeated here. */
  valueInfo: Map<string, ValueInfo>;
}

/** A function that the model defines in terms of other operators; nodes call it like an operator. */
export interface LocalFunction {
  name: string;
  domain: string;
  /** Tells apart functions of one name; usually ''. */
  overload: string;
  inputs: string[];
  outputs: string[];
  /** Attributes without a default. */
  attributes: string[];
  defaults: Map<string, Attribute>;
  /** In execution order. Attributes may be references to those of the calling node. */
  nodes: Node[];
  /** The versions that the nodes are in, whatever the model's own are. */
  opsets: Map<string, number>;
}

export interface Node {
  opType: string;
  /** '' for the standard domain. */
  domain: string;
  /** Which of several functions of one name is called; absent: the one without an overload. */
  overload?: string;
  name: string;
  inputs: string[];
  outputs: string[];
  attributes: Map<string, Attribute>;
}

/** A number is a fixed size, a string a named free size, null an unknown one. */
export type Dim = number | string | null;

export interface ValueInfo {
  name: string;
  dtype: DType;
  /** null: the rank itself is unknown. */
  dims: readonly Dim[] | null;
  /** For a graph input or output that is not a tensor: what its tensors are wrapped in, outermost first. */
  containers?: readonly ('sequence' | 'optional')[];
  /** An input or output of a branch or loop body that is declared without a type: the one here means nothing. */
  untyped?: true;
}

export type Attribute =
  | { kind: 'int'; value: number }
  | { kind: 'float'; value: number }
  | { kind: 'string'; value: string }
  | { kind: 'ints'; value: readonly number[] }
  | { kind: 'floats'; value: readonly number[] }
  | { kind: 'strings'; value: readonly string[] }
  | { kind: 'tensor'; value: Tensor }
  | { kind: 'graph'; value: Graph }
  /** In the body of a function: the attribute of that name of the calling node. `type` is its `AttributeType` number. */
  | { kind: 'reference'; value: string; type: number };

/** A weight that lives in a file beside the model and is never read unless asked for. */
export interface ExternalTensor {
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly external: { readonly location: string; readonly offset: number; readonly length: number };
}

export type Initializer = Tensor | ExternalTensor;

/** How a function is looked up from a node, and a node from a function. */
export function functionKey(f: { domain: string; overload?: string }, name: string): string {
  return `${f.domain}:${name}:${f.overload ?? ''}`;
}

export function isExternal(init: Initializer): init is ExternalTensor {
  return 'external' in init;
}

export const int = (value: number): Attribute => ({ kind: 'int', value });
export const float = (value: number): Attribute => ({ kind: 'float', value });
export const str = (value: string): Attribute => ({ kind: 'string', value });
export const ints = (value: readonly number[]): Attribute => ({ kind: 'ints', value });
export const floats = (value: readonly number[]): Attribute => ({ kind: 'floats', value });
export const tensorAttribute = (value: Tensor): Attribute => ({ kind: 'tensor', value });
