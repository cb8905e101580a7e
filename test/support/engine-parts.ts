import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { AlgorithmInfo } from '#pipelines/engine/context.ts';
import type { ModelDoctorReport } from '#pipelines/engine/doctor-schema.ts';
import { createEngine } from '#pipelines/engine/engine.ts';
import { createNodeHost } from '#pipelines/engine/hosts/node-host.ts';
import type { QueueTimes } from '#pipelines/engine/job-queue.ts';
import type { ModelLook } from '#pipelines/engine/model-catalog.ts';
import type { ComputeHandle } from '#pipelines/engine/process-host.ts';
import type { WarmTimes } from '#pipelines/engine/warm-host.ts';
import type { Project } from '#pipelines/store/project.ts';

export const fakeAlgorithms: Record<string, AlgorithmInfo> = {
  fake: {
    name: 'fake',
    title: 'Fake',
    description: 'Counts steps.',
    source: 'none',
    schema: z.object({
      steps: z.int().min(1).max(1000).default(5).describe('Updates.'),
      waitAt: z.int().default(-1).describe('Waits at this update.'),
      stepMs: z.int().min(0).default(0).describe('Milliseconds per update.'),
    }),
  },
};

export function fakeReport(directory: string): ModelDoctorReport {
  return {
    path: directory,
    name: directory.split('/').at(-1) ?? '',
    family: 'fake',
    title: 'Fake',
    kind: 'image',
    status: 'Ready.',
    usable: true,
    findings: [],
    exporter: 'nobody',
    exporterBecause: '',
    precision: '',
    sizes: '',
    predictionType: 'epsilon',
    width: 8,
    height: 8,
    sampling: {
      steps: 30,
      guidanceScale: 3,
      guidance: 'classifier-free',
      freeSize: false,
      sizeMultiple: 1,
      startsFromPictures: true,
      clipSkips: 1,
      schedulerConfig: { _class_name: 'DDIMScheduler', clip_sample: false },
    },
    sequence: null,
    parameters: 1,
    sizeBytes: 1,
    components: [],
    tokenizers: [],
    providers: [],
    description: '',
    examplePrompts: [],
  };
}

/** Looks at no file. */
export const fakeLook: ModelLook = {
  examine: fakeReport,
  stamp: (directory) => directory,
  hash: async () => 'f'.repeat(64),
};

/**
 * Host and folders shared by the engines of tests: real processes running `fake-compute.ts`.
 * @returns `handles`: the process of every job, in order; a process that did two jobs is there twice.
 */
export function engineOn(project: Project, bundledModels: string, times: Partial<QueueTimes & WarmTimes> = {}) {
  const node = createNodeHost({ entry: join(import.meta.dirname, 'fake-compute.ts') });
  const handles: ComputeHandle[] = [];
  const engine = createEngine({
    project,
    kind: 'browser',
    bundledModels,
    host: {
      fork: () => {
        const handle = node.fork();
        return {
          ...handle,
          get pid() {
            return handle.pid;
          },
          send: (message) => {
            if (message.t === 'start') handles.push(handle);
            handle.send(message);
          },
        };
      },
    },
    modelLook: fakeLook,
    algorithms: fakeAlgorithms,
    checkOutputs: true,
    // A process that nobody asked for would only slow tests down.
    times: { progressMs: 0, spareMs: 2 ** 31 - 1, ...times },
  });
  return { engine, handles };
}

/** A folder of bundled models with one in it. */
export function bundledFolder(parent: string): string {
  const folder = join(parent, 'bundled');
  mkdirSync(join(folder, 'tiny'), { recursive: true });
  writeFileSync(join(folder, 'tiny', 'model_index.json'), '{}');
  return folder;
}

export const TINY = 'model-bundled-tiny';
