import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MessageChannel } from 'node:worker_threads';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { writeFileAtomic } from '#models/files.ts';
import { Rng } from '#models/tensor/rng.ts';
import type { ModelDoctorReport, WireMessage } from '#pipelines/engine/contract.ts';
import { createEngine, type Engine } from '#pipelines/engine/engine.ts';
import type { FromCompute, JobContext, JobFunction, JobSpec, ToCompute } from '#pipelines/engine/job-protocol.ts';
import { comparePayload, generatePayload, tunePayload } from '#pipelines/engine/jobs/payloads.ts';
import { reproduce } from '#pipelines/engine/jobs/reproduce.ts';
import { score } from '#pipelines/engine/jobs/score.ts';
import type { ProcessHost } from '#pipelines/engine/process-host.ts';
import { runCompute } from '#pipelines/engine/run-compute.ts';
import { portWire, serveWire } from '#pipelines/engine/wire.ts';
import { encodePng, rasterizeSvg } from '#pipelines/images/images.ts';
import { sampleAttributes } from '#pipelines/recipes/flora/attributes.ts';
import { parseCaption } from '#pipelines/recipes/flora/captions.ts';
import { drawFlower } from '#pipelines/recipes/flora/drawing.ts';
import { openMetricsLog } from '#pipelines/runs/metrics-log.ts';
import { openProject } from '#pipelines/store/project.ts';
import type { Transport } from '#renderer/transport/wire.ts';

/**
 * The real engine with drawn flowers in place of networks, for looking at the window and for tests of its stores. Jobs run
 * in this process and take `stepMs` per step.
 */

interface DemoOptions {
  readonly stepMs?: number;
  readonly models?: boolean;
}

/** A flower for a prompt: asked attributes as asked, the rest by chance; `noise` 0…1 is what is still to be denoised. */
async function picture(context: JobContext, prompt: string, seed: number, index: number, noise = 0): Promise<string> {
  const rng = new Rng(seed).fork(prompt, index);
  const svg = drawFlower({ ...sampleAttributes(rng), ...parseCaption(prompt) }, rng.fork('drawing'));
  const rgb = await rasterizeSvg(svg, 64, 64);
  const grain = rng.fork('noise');
  const mixed = noise === 0 ? rgb : rgb.map((value) => value * (1 - noise) + noise * 255 * grain.uniform());
  const png = await encodePng(mixed, 64, 64);
  const hash = createHash('sha256').update(png).digest('hex');
  writeFileAtomic(join(context.project, 'samples', `${hash}.png`), png);
  return hash;
}

const stopped = (context: JobContext) => context.control.request === 'pause' || context.control.request === 'cancel';

function jobs(stepMs: number): Record<JobSpec['kind'], JobFunction> {
  return {
    generate: async (raw, context) => {
      const payload = generatePayload.parse(raw);
      const total = payload.prompts.length * payload.count;
      for (let position = 0; position < total; position++) {
        const prompt = payload.prompts[Math.floor(position / payload.count)] ?? '';
        if (prompt.includes('fail')) {
          throw new NorthlightError('demo/refused', `The prompt "${prompt}" asks to fail.`, 'Write another prompt.');
        }
        for (let step = 0; stepMs > 0 && step < 6; step++) {
          if (stopped(context)) return null;
          const hash = await picture(context, prompt, payload.seed, position, 1 - step / 6);
          context.event('previewFile', { hash, prompt, index: position, step: step * 5, total: payload.steps });
          context.progress(
            `picture ${position + 1} of ${total}, step ${step * 5} of ${payload.steps}`,
            position + step / 6,
            total,
          );
          await sleep(stepMs);
        }
        const hash = await picture(context, prompt, payload.seed, position);
        const file = { hash, prompt, position, seed: payload.seed, index: position, width: 64, height: 64 };
        context.event('sampleFile', { ...file, trajectory: payload.keepTrajectories, side: null });
        context.progress(`picture ${position + 1} of ${total}`, position + 1, total);
      }
      return { pictures: total };
    },
    compare: async (raw, context) => {
      const payload = comparePayload.parse(raw);
      const total = payload.prompts.length * payload.perPrompt;
      for (const [s, side] of (['A', 'B'] as const).entries()) {
        for (let position = 0; position < total; position++) {
          if (stopped(context)) return null;
          const prompt = payload.prompts[Math.floor(position / payload.perPrompt)] ?? '';
          const hash = await picture(context, prompt, payload.seed + s, position);
          const file = { hash, prompt, position, seed: payload.seed, index: position, width: 64, height: 64 };
          context.event('sampleFile', { ...file, trajectory: false, side });
          context.progress(`picture ${s * total + position + 1} of ${2 * total}`, s * total + position + 1, 2 * total);
          await sleep(stepMs);
        }
      }
      return {};
    },
    tune: async (raw, context) => {
      const payload = tunePayload.parse(raw);
      const steps = Number(payload.config.steps);
      const log = openMetricsLog(payload.runDirectory, 0);
      const rng = new Rng(7);
      let step = 0;
      for (; step < steps; step++) {
        if (context.control.request === 'stop-and-keep' || stopped(context)) break;
        const settled = 1 - Math.exp(-step / 60);
        const values = {
          loss: 0.7 - 0.25 * settled + 0.06 * rng.normal(),
          pairAccuracy: Math.min(1, 0.5 + 0.3 * settled + 0.04 * rng.normal()),
          kl: 0.02 * settled * step * 0.05 + 0.002 * Math.abs(rng.normal()),
          gradientNorm: 0.4 + 0.1 * rng.normal(),
        };
        log.append({ step, values });
        context.event('metrics', { step, values });
        if (step % 20 === 0) {
          const noise = 0.45 * (1 - settled);
          const pictures = [];
          for (const [i, prompt] of payload.stripPrompts.entries()) {
            pictures.push({ prompt, hash: await picture(context, prompt, 5, i, noise) });
          }
          context.event('strip', { step, pictures });
        }
        context.progress(`step ${step + 1} of ${steps}`, step + 1, steps);
        await sleep(stepMs);
      }
      log.close();
      const adapterPath = join(payload.runDirectory, 'adapter.safetensors');
      mkdirSync(payload.runDirectory, { recursive: true });
      writeFileAtomic(adapterPath, payload.runId);
      const hash = createHash('sha256').update(payload.runId).digest('hex');
      return { adapterPath, hash, rank: 4, steps: step, verifiedDifference: 0 };
    },
    verify: async () => ({ difference: 1.2e-7, effect: 0.4 }),
    score,
    reproduce,
    bank: async () => ({}),
    values: async () => ({}),
    'dry-step': async () => ({ ran: true, loadSeconds: 1.8, seconds: 0.42, finite: true, width: 64, height: 64 }),
    estimate: async () => ({
      ...{ peakBytes: 1.4e9, budgetBytes: 8e9, secondsPerUpdate: 12, totalSeconds: 720, parts: 1 },
      memory: { kind: 'flat' },
    }),
  };
}

/** Compute "processes" in this process. A kill only stops listening to them. */
function inProcessHost(stepMs: number): ProcessHost {
  return {
    fork() {
      const toJob: ((message: ToCompute) => void)[] = [];
      const kept: ToCompute[] = [];
      const listeners: ((message: FromCompute) => void)[] = [];
      const exits: ((detail: string) => void)[] = [];
      let over = false;
      const exit = (detail: string) => {
        if (over) return;
        over = true;
        for (const listener of exits) listener(detail);
      };
      setImmediate(() => {
        runCompute(
          {
            send: async (message) => {
              await Promise.resolve();
              if (!over) for (const listener of listeners) listener(message);
            },
            onMessage: (listener) => {
              toJob.push(listener);
              for (const message of kept.splice(0)) listener(message);
            },
            onClosed: () => {},
            exit: (code) => exit(`exit code ${code}`),
          },
          async () => ({ jobs: jobs(stepMs) }),
        );
      });
      return {
        pid: process.pid,
        send: (message) => {
          if (toJob.length === 0) kept.push(message);
          else for (const listener of toJob) listener(message);
        },
        onMessage: (listener) => listeners.push(listener),
        onExit: (listener) => exits.push(listener),
        kill: () => exit('killed'),
      };
    },
  };
}

const schema = z.object({
  steps: z.number().int().min(1).max(10_000).default(200).describe('Optimiser steps.'),
  learningRate: z.number().min(0).max(1).default(3e-5).describe('Step size of AdamW.'),
  beta: z
    .number()
    .min(0)
    .max(10)
    .default(0.1)
    .describe('How closely the tuned model stays to the base. Larger: closer.'),
  rank: z.number().int().min(1).max(128).default(4).describe('Rank of the adapter.'),
  clipRange: z.number().min(0).max(1).default(1e-4).describe('Ratio clip (D3PO, section 4).'),
  warmup: z.number().int().min(0).max(1000).default(10).describe('Steps over which the learning rate rises.'),
  optimizer: z.enum(['adamw', 'sgd']).default('adamw').describe('Update rule.'),
  maskPadding: z.boolean().default(true).describe('Ignore padding of short prompts.'),
});

export interface Demo {
  readonly engine: Engine;
  readonly directory: string;
  close(): Promise<void>;
}

export function openDemo({ stepMs = 0, models = true }: DemoOptions = {}): Demo {
  const root = join(tmpdir(), `northlight-demo-${process.pid}-${Math.random().toString(36).slice(2)}`);
  const bundled = join(root, 'bundled');
  for (const name of models ? ['flora', 'broken'] : []) {
    mkdirSync(join(bundled, name), { recursive: true });
    writeFileSync(join(bundled, name, 'model_index.json'), '{}');
  }
  const project = openProject(join(root, 'Spring flowers'));
  const engine = createEngine({
    project,
    host: inProcessHost(stepMs),
    kind: 'browser',
    bundledModels: bundled,
    threads: 2,
    checkOutputs: true,
    algorithms: {
      d3po: {
        ...{ name: 'd3po', title: 'D3PO', schema },
        description: 'Learns directly from your choices between two pictures, without a reward model.',
        source: 'Yang et al. 2024, arXiv:2311.13231',
      },
      'diffusion-dpo': {
        ...{ name: 'diffusion-dpo', title: 'Diffusion-DPO', schema: schema.extend({ beta: z.number().default(5000) }) },
        description: 'Prefers the chosen picture through the denoising loss; needs no stored steps.',
        source: 'Wallace et al. 2024, arXiv:2311.12908',
      },
    },
    modelLook: { examine: demoReport, stamp: (path) => path, hash: async () => 'ab12'.repeat(16) },
  });
  return {
    engine,
    directory: project.directory,
    close: async () => {
      await engine.close();
      project.close();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** The window's transport straight into an engine, over a real message port. `broken` lines are cut when told. */
export function transportTo(engine: Engine): { transport: Transport; cut(): void; opened: number } {
  let cutLine = () => {};
  const line = {
    opened: 0,
    cut: () => cutLine(),
    transport: ((events) => {
      line.opened++;
      const { port1, port2 } = new MessageChannel();
      serveWire(portWire(port2 as never), engine);
      let open = true;
      const close = () => {
        open = false;
        port1.close();
      };
      cutLine = () => {
        if (!open) return;
        close();
        events.closed('cut');
      };
      port1.on('message', (message: WireMessage) => open && events.message(message));
      queueMicrotask(() => events.opened());
      return { send: (message) => port1.postMessage(message), close };
    }) as Transport,
  };
  return line;
}

/** Flora as it is, and any other folder as an export that lost its weights. */
function demoReport(path: string): ModelDoctorReport {
  const good = path.endsWith('flora');
  const ports = {
    inputs: [],
    outputs: [],
    precision: 'full precision (float32)',
    sizes: 'fixed at height 64, width 64',
  };
  return {
    path,
    name: good ? 'Flora' : 'Old export',
    family: good ? 'pixel-space' : 'unknown',
    title: good ? 'Pixel-space diffusion' : '',
    kind: good ? 'image' : 'unknown',
    status: good
      ? 'Ready: Pixel-space diffusion, exported by Northlight.'
      : 'Cannot run: unet/model.onnx_data is missing.',
    usable: good,
    findings: good
      ? []
      : [
          {
            weight: 'stops',
            code: 'onnx/external-missing',
            message: 'unet/model.onnx_data is missing.',
            hint: 'Copy this file beside unet/model.onnx; the export wrote both.',
          },
        ],
    exporter: good ? 'Northlight' : 'optimum',
    exporterBecause: 'Its index says so.',
    precision: 'full precision (float32)',
    sizes: 'fixed at height 64, width 64',
    predictionType: 'v_prediction',
    width: 64,
    height: 64,
    sampling: good
      ? {
          steps: 30,
          guidanceScale: 3,
          guidance: 'classifier-free',
          freeSize: false,
          sizeMultiple: 1,
          startsFromPictures: true,
          clipSkips: 1,
          schedulerConfig: { _class_name: 'DDIMScheduler', clip_sample: false },
        }
      : null,
    sequence: null,
    parameters: 3_240_000,
    sizeBytes: 13_100_000,
    components: [
      { role: 'denoiser', file: 'unet/model.onnx', ...ports, opset: 21, parameters: 3_000_000, sizeBytes: 12_000_000 },
    ],
    tokenizers: ['tokenizer'],
    providers: [{ provider: 'cuda', device: '', faulty: [], leftToCpu: [], untried: ['Conv'] }],
    description: good
      ? 'A small model of drawn flowers, trained with Northlight’s own trainer.'
      : 'A folder added by path.',
    examplePrompts: good
      ? [
          'a red tulip in a vase on a cream background',
          'a purple lily with six petals on the ground, sky background',
          'a yellow poppy with two leaves, lavender background',
          'a white daisy with nine petals in a vase, navy background',
        ]
      : [],
  };
}
