import { createRequire } from 'node:module';
import type * as ort from 'onnxruntime-node';
import { NorthlightError } from '#models/errors.ts';
import type { DType, Tensor, TypedArrays } from '#models/tensor/tensor.ts';
import { numel } from '#models/tensor/tensor.ts';

/** Loaded when first needed: the native library stays out of processes that only know of models. */
let loaded: typeof ort | undefined;
function runtime(): typeof ort {
  loaded ??= createRequire(import.meta.url)('onnxruntime-node') as typeof ort;
  return loaded;
}

/** Loads the native library before it is needed. */
export const loadRuntime = (): void => void runtime();

export type Provider = 'cpu' | 'webgpu' | 'cuda' | 'dml' | 'coreml';

const PROVIDERS: readonly Provider[] = ['cpu', 'webgpu', 'cuda', 'dml', 'coreml'];

/** Version of the installed runtime, without loading it. */
export function runtimeVersion(): string {
  const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string };
  return version;
}

/** Providers that the installed runtime was built with; whether one works here is another question (providers.ts). */
export function listBackends(): Provider[] {
  const listed = new Set(
    runtime()
      .listSupportedBackends()
      .map((b) => b.name),
  );
  return PROVIDERS.filter((p) => listed.has(p));
}

export interface SessionOptions {
  readonly provider?: Provider;
  /** Threads of one operator; default: all cores but at least one. */
  readonly threads?: number;
  /** Training graphs keep recomputed parts (no common-subexpression pass) and give memory back. */
  readonly training?: boolean;
  readonly optimization?: 'disabled' | 'basic' | 'extended' | 'all';
  /** Keep freed memory for the next run: faster, but the peak stays for the life of the session. Default: false. */
  readonly arena?: boolean;
  /** Idle threads wait for the next operator by turning in place: quicker, but they take a core. Default: false. */
  readonly spinning?: boolean;
  /** Keep a copy of constant weights in the order that products read fastest. Default: true. */
  readonly prepack?: boolean;
  /** Compute nodes of constants once and keep the result. Default: true; false keeps 16-bit weights at their width. */
  readonly foldConstants?: boolean;
  /** Folder that external data of a model given as bytes is relative to. */
  readonly folder?: string;
  /** File to write the graph to as the runtime has rewritten it; at level `all` it holds this processor's layouts. */
  readonly optimizedPath?: string;
  /** The runtime writes what it decides (which provider gets which node) to standard error. */
  readonly explain?: boolean;
}

export interface Port {
  readonly name: string;
  readonly dtype: DType;
  /** A string is a free size. */
  readonly dims: readonly (number | string)[];
}

export interface Session {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** Runs the graph. Inputs are not copied; outputs are fresh. With `fetches`, only those outputs are made. */
  run(feeds: Readonly<Record<string, Tensor>>, fetches?: readonly string[]): Promise<Record<string, Tensor>>;
  release(): Promise<void>;
}

const TO_ORT: Partial<Record<DType, ort.Tensor.Type>> = {
  float32: 'float32',
  float64: 'float64',
  float16: 'float16',
  int8: 'int8',
  uint8: 'uint8',
  int16: 'int16',
  uint16: 'uint16',
  int32: 'int32',
  uint32: 'uint32',
  int64: 'int64',
  uint64: 'uint64',
  bool: 'bool',
  string: 'string',
};

/**
 * Opens a model (a path, so that external data is mapped and not read; or bytes of a small one).
 * @throws {NorthlightError} `session/…` naming what the runtime could not do.
 */
export async function createSession(model: string | Uint8Array, options: SessionOptions = {}): Promise<Session> {
  const switchedOff = [
    // Without the Identity before each output, the runtime computes the gradients of the first layers first and those of the
    // last layers last, and everything they read stays in memory until then.
    ...(options.training ? ['CommonSubexpressionElimination', 'EliminateIdentity'] : []),
    ...(options.foldConstants === false ? ['ConstantFolding'] : []),
  ];
  const config: ort.InferenceSession.SessionOptions = {
    executionProviders: [options.provider ?? 'cpu'],
    graphOptimizationLevel: options.optimization ?? 'all',
    enableCpuMemArena: options.arena ?? false,
    enableMemPattern: !options.training,
    executionMode: 'sequential',
    logSeverityLevel: options.explain ? 0 : 4,
    extra: {
      session: {
        // Vanishing gradients would otherwise run in denormal arithmetic, many times slower. The first session decides.
        set_denormal_as_zero: '1',
        intra_op: { allow_spinning: (options.spinning ?? options.training) ? '1' : '0' },
        ...(options.prepack === false ? { disable_prepacking: '1' } : {}),
        ...(options.folder !== undefined ? { model_external_initializers_file_folder_path: options.folder } : {}),
      },
      ...(switchedOff.length > 0 ? { optimization: { disable_specified_optimizers: switchedOff.join(';') } } : {}),
    },
    ...(options.threads ? { intraOpNumThreads: options.threads } : {}),
    ...(options.optimizedPath !== undefined ? { optimizedModelFilePath: options.optimizedPath } : {}),
  };
  let session: ort.InferenceSession;
  try {
    session =
      typeof model === 'string'
        ? await runtime().InferenceSession.create(model, config)
        : await runtime().InferenceSession.create(model, config);
  } catch (error) {
    throw sessionError(error, typeof model === 'string' ? model : 'a model in memory');
  }
  const ports = (meta: readonly ort.InferenceSession.ValueMetadata[]): Port[] =>
    meta.map((m) =>
      m.isTensor
        ? { name: m.name, dtype: m.type as DType, dims: m.shape }
        : { name: m.name, dtype: 'float32', dims: [] },
    );
  const outputs = ports(session.outputMetadata);
  let released = false;
  // What it decided has been said when the session was made.
  const quiet = options.explain ? { logSeverityLevel: 4 as const } : undefined;
  return {
    inputs: ports(session.inputMetadata),
    outputs,
    async run(feeds, fetches) {
      const given: Record<string, ort.Tensor> = {};
      for (const [name, t] of Object.entries(feeds)) given[name] = toOrt(t, name);
      let results: ort.InferenceSession.OnnxValueMapType;
      try {
        results = await session.run(given, fetches ?? outputs.map((o) => o.name), quiet);
      } catch (error) {
        throw new NorthlightError(
          'session/run',
          `The runtime could not run the graph: ${(error as Error).message}`,
          'Check that the inputs have the sizes the graph declares.',
          { cause: error },
        );
      }
      return Object.fromEntries(Object.entries(results).map(([name, t]) => [name, fromOrt(t as ort.Tensor)]));
    },
    async release() {
      if (released) return;
      released = true;
      await session.release();
    },
  };
}

function toOrt(t: Tensor, name: string): ort.Tensor {
  const type = TO_ORT[t.dtype];
  if (!type)
    throw new NorthlightError(
      'session/dtype',
      `Input "${name}": the runtime takes no ${t.dtype} tensors from outside.`,
      'Cast inside the graph.',
    );
  if (t.data.length !== numel(t.dims))
    throw new NorthlightError(
      'tensor/size',
      `Input "${name}" has ${t.data.length} elements for shape [${t.dims.join(', ')}].`,
    );
  // The binding's own constructor refuses 16-bit floats on this Node; it accepts a plain object of the same form.
  if (t.dtype === 'float16') return { type, dims: t.dims, location: 'cpu', data: t.data } as unknown as ort.Tensor;
  return new (runtime().Tensor)(type, t.data as never, t.dims);
}

function fromOrt(t: ort.Tensor): Tensor {
  const dtype = t.type as DType;
  const raw = t.data as unknown as TypedArrays[DType] & { buffer: ArrayBuffer; byteOffset: number; length: number };
  const data = dtype === 'float16' ? new Uint16Array(raw.buffer, raw.byteOffset, raw.length) : raw;
  return { dtype, dims: t.dims, data } as Tensor;
}

function sessionError(error: unknown, where: string): NorthlightError {
  const text = error instanceof Error ? error.message : String(error);
  const make = (code: string, message: string, hint: string) =>
    new NorthlightError(code, message, hint, { cause: error });
  if (/doesn't exist/.test(text))
    return make('session/missing', `The model file ${where} does not exist.`, 'Check the path.');
  if (/Protobuf parsing failed|ModelProto/.test(text))
    return make(
      'session/not-onnx',
      `${where} is not a readable ONNX file.`,
      'It is damaged, cut short, or over 2 GB without external data: export it again.',
    );
  const unknown =
    /No Op registered for (\S+)|Could not find an implementation for (\S+)|Fatal error: (\S+) is not a registered/.exec(
      text,
    );
  if (unknown)
    return make(
      'session/operator',
      `The runtime has no ${unknown[1] ?? unknown[2] ?? unknown[3]} for ${where}.`,
      'Export the model with a supported opset, or choose another provider.',
    );
  if (/external data|External data|cannot get file size|filesystem error/i.test(text))
    return make(
      'session/external-data',
      `Weights beside ${where} are missing or too short: ${text}`,
      'Copy the whole folder again.',
    );
  if (/adapter|shared library|provider/i.test(text))
    return make(
      'session/provider',
      `This provider cannot run here: ${text}`,
      'Choose --provider cpu, or see: northlight doctor',
    );
  return make('session/create', `The runtime could not open ${where}: ${text}`, 'See: northlight graph inspect');
}
