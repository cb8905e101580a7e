import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { suggestion } from '#models/nearest.ts';
import type { Model } from '#models/onnx/ir.ts';
import type { Tensor } from '#models/tensor/tensor.ts';
import { defineCommand } from '#pipelines/cli/command.ts';

export const graphGrad = defineCommand({
  name: 'graph grad',
  summary: 'gradients of a graph: vector-Jacobian products with given cotangents',
  details:
    'IN holds one tensor per graph input, CT one per differentiated output, by name. OUT gets one tensor per name in --wrt,\n' +
    'with the shape of what it differentiates; a name with no path to an output gets zeros and is listed under "noPath".',
  options: z.object({
    file: z.string().min(1).describe('graph, .onnx'),
    inputs: z.string().min(1).describe('safetensors with the graph inputs (IN)'),
    cotangents: z.string().min(1).describe('safetensors with the gradient of the loss at each output (CT)'),
    wrt: z
      .string()
      .min(1)
      .describe('NAME[,NAME…], or all: float initialisers of rank ≥ 1 with a path, and float inputs'),
    out: z.string().min(1).describe('safetensors to write (OUT)'),
    saveGraph: z
      .string()
      .optional()
      .describe('also write the gradient graph, .onnx; weights in files beside the graph stay there'),
  }),
  positionals: ['file'],
  async run(options) {
    const { readModel } = await import('#models/onnx/read.ts');
    const { encodeModel, writeModel } = await import('#models/onnx/write.ts');
    const { readSafetensors, writeSafetensors } = await import('#models/tensor/safetensors.ts');
    const { zeros } = await import('#models/tensor/tensor.ts');
    const { gradientModel } = await import('#models/autodiff/gradient-model.ts');
    const { createSession } = await import('#models/runtime/session.ts');

    const model = readModel(options.file);
    const { graph } = model;
    const feeds = readSafetensors(options.inputs).tensors;
    const cotangents = readSafetensors(options.cotangents).tensors;
    const graphInputs = graph.inputs.filter((input) => !graph.initializers.has(input.name));
    matchNames(
      [...feeds.keys()],
      graphInputs.map((v) => v.name),
      options.inputs,
      'input',
      true,
    );
    matchNames(
      [...cotangents.keys()],
      graph.outputs.map((v) => v.name),
      options.cotangents,
      'output',
      false,
    );
    for (const input of graphInputs) {
      const { dtype } = feeds.get(input.name)!;
      if (dtype !== input.dtype) {
        throw new NorthlightError(
          'graph/dtype',
          `Input "${input.name}" of ${options.file} is ${input.dtype}, but ${options.inputs} holds it as ${dtype}.`,
          `Write it as ${input.dtype}.`,
        );
      }
    }
    const dims = (name: string) =>
      feeds.get(name)?.dims ?? (graph.initializers.get(name)?.dims as number[] | undefined);
    const wrt = options.wrt === 'all' ? ('all' as const) : options.wrt.split(',').map((name) => name.trim());
    if (wrt !== 'all') {
      const unknown = wrt.find((name) => dims(name) === undefined);
      if (unknown !== undefined) {
        throw new NorthlightError(
          'graph/no-such-name',
          `${options.file} has no initialiser or input "${unknown}" to differentiate by.`,
          suggestion(unknown, [...graph.initializers.keys(), ...graphInputs.map((v) => v.name)]),
        );
      }
    }
    const gradient = await derive(model, () =>
      gradientModel(model, {
        inputDims: Object.fromEntries(graphInputs.map((v) => [v.name, feeds.get(v.name)!.dims])),
        wrt,
        outputs: [...cotangents.keys()],
      }),
    );
    if (options.saveGraph !== undefined) {
      const { linkExternal } = await import('#pipelines/cli/link-external.ts');
      writeModel(linkExternal(gradient.model, options.saveGraph), options.saveGraph);
    }

    const noPath = new Set(gradient.noPath);
    const wanted = gradient.wrt.filter((name) => !noPath.has(name));
    const found = new Map<string, Tensor>();
    for (const name of gradient.wrt) found.set(name, zeros('float32', dims(name) ?? []));
    const started = performance.now();
    if (wanted.length > 0) {
      const session = await createSession(encodeModel(gradient.model), {
        training: true,
        ...(model.folder === undefined ? {} : { folder: model.folder }),
        ...(options.threads === undefined ? {} : { threads: options.threads }),
      });
      try {
        const all = new Map([...feeds, ...[...cotangents].map(([name, t]) => [`cotangent/${name}`, t] as const)]);
        const needed = new Set(session.inputs.map((input) => input.name));
        const result = await session.run(
          Object.fromEntries([...all].filter(([name]) => needed.has(name))),
          wanted.map((name) => `grad/${name}`),
        );
        for (const name of wanted) found.set(name, result[`grad/${name}`]!);
      } finally {
        await session.release();
      }
    }
    writeSafetensors(options.out, found);
    return {
      out: options.out,
      wrt: gradient.wrt,
      noPath: gradient.noPath,
      nodes: gradient.model.graph.nodes.length,
      seconds: (performance.now() - started) / 1000,
    };
  },
  show(result) {
    return [
      `${result.wrt.length} gradients in ${result.out} (${result.nodes} nodes, ${result.seconds.toFixed(2)} s)`,
      ...(result.noPath.length > 0 ? [`No path to the outputs, written as zeros: ${result.noPath.join(', ')}`] : []),
    ].join('\n');
  },
});

/** What keeps a graph from being differentiated, with the way from that node to the output. */
async function derive<T>(model: Model, make: () => T): Promise<T> {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof NorthlightError) || / on the path /.test(error.message)) throw error;
    const node = /"([^"]+)"/.exec(error.message)?.[1];
    if (node === undefined) throw error;
    const { wayToOutput } = await import('#models/autodiff/inspect.ts');
    const way = wayToOutput(model, node);
    throw way === '' ? error : new NorthlightError(error.code, `${error.message} ${way}`, error.hint, { cause: error });
  }
}

/** The names in a file against those of the graph. @throws NorthlightError `graph/no-such-name`, `graph/missing-name`. */
function matchNames(
  given: readonly string[],
  known: readonly string[],
  file: string,
  what: string,
  allNeeded: boolean,
): void {
  const extra = given.find((name) => !known.includes(name));
  if (extra !== undefined) {
    throw new NorthlightError(
      'graph/no-such-name',
      `${file} holds "${extra}", which is no ${what} of the graph.`,
      suggestion(extra, known),
    );
  }
  const missing = known.filter((name) => !given.includes(name));
  if ((allNeeded && missing.length > 0) || given.length === 0) {
    throw new NorthlightError(
      'graph/missing-name',
      `${file} lacks ${missing.map((name) => `"${name}"`).join(', ')}.`,
      `It needs ${allNeeded ? 'one tensor per' : 'a tensor for at least one'} ${what} of the graph.`,
    );
  }
}
