import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { suggestion } from '#models/nearest.ts';
import { defineCommand } from '#pipelines/cli/command.ts';
import { showGraph } from '#pipelines/cli/show-graph.ts';

export const graphInspect = defineCommand({
  name: 'graph inspect',
  summary: 'what a graph holds, what in it can be trained, and what stands in the way',
  details:
    'The graph is not run, and weights in files beside it are not read; times are estimated from what this machine does per\n' +
    'second, measured for a second. --json lists every weight, layer and blocking node.',
  options: z.object({
    file: z.string().min(1).describe('graph, .onnx'),
    input: z.array(z.string()).default([]).describe('NAME=1x4x64x64: size of an input whose sizes are free'),
    rank: z.int().min(1).max(1024).default(8).describe('rank of the adapter whose training step is costed'),
  }),
  positionals: ['file'],
  async run({ file, input, rank, threads }) {
    const { readModel } = await import('#models/onnx/read.ts');
    const { measureRates } = await import('#models/training/machine-rates.ts');
    const { reportGraph } = await import('#pipelines/cli/graph-report.ts');
    const model = readModel(file);
    const inputs = Object.fromEntries(input.map(parseSize));
    const known = model.graph.inputs.filter((i) => !model.graph.initializers.has(i.name));
    for (const [name, dims] of Object.entries(inputs)) {
      const port = known.find((i) => i.name === name);
      if (!port) {
        throw new NorthlightError(
          'graph/no-such-name',
          `${file} has no input "${name}".`,
          suggestion(
            name,
            known.map((i) => i.name),
          ),
        );
      }
      const fits = !port.dims || (port.dims.length === dims.length && port.dims.every((d, i) => fitsDim(d, dims[i]!)));
      if (!fits) {
        throw new NorthlightError(
          'graph/size',
          `Input "${name}" is [${port.dims!.map((d) => d ?? '?').join(', ')}], which ${dims.join('x')} does not fit.`,
          'Only free sizes can be chosen.',
        );
      }
    }
    const rates = await measureRates(threads);
    return { file, ...reportGraph(model, { inputs, rank, rates }) };
  },
  show: showGraph,
});

const fitsDim = (dim: number | string | null, size: number) => typeof dim !== 'number' || dim === size;

/** `sample=1x4x64x64`; `step=scalar` for a tensor without axes. */
function parseSize(text: string): [string, number[]] {
  const at = text.lastIndexOf('=');
  const sizes = text.slice(at + 1);
  const dims = sizes === 'scalar' ? [] : sizes.split(/[x×,]/).map(Number);
  if (at < 1 || dims.some((d) => !Number.isInteger(d) || d < 1)) {
    throw new NorthlightError(
      'usage',
      `--input takes NAME=SIZES, not "${text}".`,
      'For example: --input sample=1x4x64x64',
    );
  }
  return [text.slice(0, at), dims];
}
