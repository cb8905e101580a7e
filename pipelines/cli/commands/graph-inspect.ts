import { z } from 'zod';
import { defineCommand } from '#pipelines/cli/command.ts';

export const graphInspect = defineCommand({
  name: 'graph inspect',
  summary: 'what a graph holds, and what in it can be differentiated',
  options: z.object({ file: z.string().min(1).describe('graph, .onnx') }),
  positionals: ['file'],
  async run({ file }) {
    const { readModel } = await import('#models/onnx/read.ts');
    const { summariseGraph } = await import('#pipelines/cli/graph-summary.ts');
    const { operatorKey, operators } = await import('#models/ops/index.ts');
    return { file, ...summariseGraph(readModel(file), (domain, opType) => operators.get(operatorKey(domain, opType))) };
  },
  show(result) {
    const line = (v: { name: string; dtype: string; dims: readonly (number | string | null)[] }) =>
      `  ${v.name}: ${v.dtype} [${v.dims.map((dim) => dim ?? '?').join(', ')}]`;
    return [
      `IR ${result.irVersion}, opsets ${Object.entries(result.opsets)
        .map(([domain, version]) => `${domain} ${version}`)
        .join(', ')}; ${result.nodes} nodes, ${result.parameters.toLocaleString('en')} parameters`,
      'Inputs',
      ...result.inputs.map(line),
      'Outputs',
      ...result.outputs.map(line),
      'Operators',
      ...result.operators.map((op) => `  ${String(op.count).padStart(6)}  ${op.opType}  ${op.gradient}`),
      ...(result.missing.length > 0
        ? [`No gradient rule: ${result.missing.join(', ')}`]
        : ['Every operator has a rule.']),
    ].join('\n');
  },
});
