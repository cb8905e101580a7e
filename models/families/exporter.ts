import type { Component, FoundFolder, GraphSignature } from './types.ts';

export type ExporterName =
  | 'northlight'
  | 'diffusers'
  | 'olive'
  | 'transformers.js'
  | 'onnxruntime'
  | 'optimum'
  | 'pytorch'
  | 'unknown';

/** Who made the graphs of a folder, as its layout, its index and the graphs themselves tell. */
export interface Exporter {
  readonly name: ExporterName;
  /** As people call it. */
  readonly title: string;
  /** What gave it away, in a sentence. */
  readonly because: string;
}

/** The first rule that says something counts: the particular before the general. */
const RULES: readonly {
  readonly name: ExporterName;
  readonly title: string;
  because(found: FoundFolder, graphs: readonly GraphSignature[]): string | undefined;
}[] = [
  {
    name: 'northlight',
    title: 'Northlight',
    because: ({ index }) => (libraries(index).includes('northlight') ? 'Its index names Northlight.' : undefined),
  },
  {
    name: 'diffusers',
    title: 'diffusers’ own converter, before optimum',
    because: ({ className, index }, graphs) => {
      if (/^Onnx/.test(className)) return `Its pipeline is called ${className}.`;
      if (classesOf(index).includes('OnnxRuntimeModel')) return 'Its parts are called OnnxRuntimeModel.';
      return hasWeights(graphs, /(^|[\\/])weights\.pb$/) ? 'Its weights are in weights.pb.' : undefined;
    },
  },
  {
    name: 'transformers.js',
    title: 'onnx-community (transformers.js)',
    because: (_, graphs) => {
      const file = graphs
        .map((g) => g.path)
        .find((p) => /[\\/]onnx[\\/]|_(fp16|quantized|q4|q4f16|int8|uint8|bnb4)\.onnx$/.test(p));
      return file === undefined ? undefined : `Its graphs are named as transformers.js names them: ${lastOf(file)}.`;
    },
  },
  {
    name: 'olive',
    title: 'Olive or OnnxStack',
    because: ({ components }, graphs) => {
      const producer = graphs.find((g) => /olive/i.test(g.producer))?.producer;
      if (producer !== undefined) return `Its graphs say that ${producer} made them.`;
      const denoiser = components.get('denoiser');
      return denoiser !== undefined && narrowInside(denoiser) && fused(graphs)
        ? 'Weights in half precision behind inputs in full precision, with fused operators, are its mark.'
        : undefined;
    },
  },
  {
    name: 'onnxruntime',
    title: 'ONNX Runtime’s optimiser',
    because: (_, graphs) => {
      const producer = graphs.find((g) => /^onnxruntime/i.test(g.producer))?.producer;
      if (producer !== undefined) return `Its graphs say that ${producer} wrote them.`;
      return fused(graphs) ? 'Its graphs have operators that only the runtime’s optimiser writes.' : undefined;
    },
  },
  {
    name: 'optimum',
    title: 'optimum',
    because: ({ index, className, components }, graphs) => {
      if (libraries(index).some((l) => l.startsWith('optimum')) || /^ORT/.test(className))
        return 'Its index names optimum.';
      if (hasWeights(graphs, /\.onnx_data$/)) return 'Its weights are in model.onnx_data.';
      const configured = [...components.values()].some((c) => '_class_name' in c.config || 'architectures' in c.config);
      return configured && graphs.some(byTorch)
        ? 'PyTorch’s graphs with a config.json beside each are its layout.'
        : undefined;
    },
  },
  {
    name: 'northlight',
    title: 'Northlight',
    because: (_, graphs) =>
      graphs.some((g) => /^northlight/i.test(g.producer)) ? 'Its graphs say that Northlight wrote them.' : undefined,
  },
  {
    name: 'pytorch',
    title: 'torch.onnx',
    because: (_, graphs) => (graphs.some(byTorch) ? 'Its graphs say that PyTorch made them.' : undefined),
  },
];

/** Who exported a folder. */
export function exporterOf(found: FoundFolder): Exporter {
  const graphs = [...found.components.values()].map((c) => c.signature);
  for (const { name, title, because } of RULES) {
    const why = because(found, graphs);
    if (why !== undefined) return { name, title, because: why };
  }
  return { name: 'unknown', title: 'an unknown exporter', because: 'Nothing in the folder names one.' };
}

/** Whether weights are kept in 16 bits while inputs are in 32. */
export function narrowInside({ signature }: Component): boolean {
  return (
    (signature.precision === 'float16' || signature.precision === 'bfloat16') &&
    signature.inputs.some((p) => p.dtype === 'float32')
  );
}

const byTorch = (g: GraphSignature) => /^(pytorch|torch)/i.test(g.producer);
const fused = (graphs: readonly GraphSignature[]) =>
  graphs.some((g) => [...g.operators.keys()].some((o) => o.startsWith('com.microsoft:') && !o.includes('Quant')));
const hasWeights = (graphs: readonly GraphSignature[], name: RegExp) =>
  graphs.some((g) => g.weightFiles.some((f) => name.test(f.location)));
const lastOf = (path: string) => path.split(/[\\/]/).at(-1) ?? path;

/** `component: [library, class]` of an index. */
const pairs = (index: FoundFolder['index']): (readonly unknown[])[] =>
  Object.values(index).filter((v): v is unknown[] => Array.isArray(v));
const libraries = (index: FoundFolder['index']) =>
  pairs(index).flatMap(([library]) => (typeof library === 'string' ? [library] : []));
const classesOf = (index: FoundFolder['index']) =>
  pairs(index).flatMap(([, name]) => (typeof name === 'string' ? [name] : []));
