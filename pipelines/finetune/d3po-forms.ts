import { importGraph } from '#models/autodiff/import-graph.ts';
import { createBuilder } from '#models/ops/index.ts';
import { estimateRun, type MachineRates } from '#models/training/estimate.ts';
import type { TrainingForm } from '#models/training/plan.ts';
import type { LossGraph } from '#models/training/training-graph.ts';
import { buildD3poGraph, type D3poGraphOptions } from './d3po-graph.ts';

/** Denoising steps of a picture of the sample strip. */
export const STRIP_STEPS = 20;

export interface D3poForms {
  build(form: TrainingForm): LossGraph;
  /** Runs that an update may be cut into: the divisors of its items. */
  readonly parts: readonly number[];
  /** Of the whole run, its sample strips included. */
  seconds(perUpdate: number): number;
}

/** The ways to compute an update of `items` items, and how long a run of many takes. */
export function d3poForms(
  options: Omit<D3poGraphOptions, 'memory'>,
  run: {
    readonly steps: number;
    readonly stripEvery: number;
    readonly stripPrompts: number;
    readonly rates: MachineRates;
  },
): D3poForms {
  const { items } = options;
  return {
    build: ({ memory, parts }) => buildD3poGraph({ ...options, items: items / parts, memory }),
    parts: Array.from({ length: items }, (_, i) => i + 1).filter((p) => items % p === 0),
    seconds(perUpdate) {
      const strips = 1 + Math.ceil(run.steps / run.stripEvery);
      const pictures = strips * run.stripPrompts;
      return run.steps * perUpdate + pictures * STRIP_STEPS * networkSeconds(options, run.rates);
    },
  };
}

/** One denoising step of one picture. */
function networkSeconds({ unet, ports, dims, guidanceScale }: D3poGraphOptions, rates: MachineRates): number {
  const rows = guidanceScale === null ? 1 : 2;
  const op = createBuilder();
  const sizes = new Map<string, readonly number[]>([[ports.sample, [rows, ...dims]]]);
  for (const { name, dims: own, batched } of ports.conditions) sizes.set(name, batched ? [rows, ...own] : own);
  const time = unet.graph.inputs.find((i) => i.name === ports.timestep)!;
  sizes.set(ports.timestep, time.dims?.length === 0 ? [] : [rows]);
  const net = importGraph(op, unet, { inputs: Object.fromEntries(sizes) });
  op.output(net.outputs.get(ports.output)!, 'output');
  return estimateRun(op.toModel('network'), op.values, rates).seconds;
}
