import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { examineModel, rememberedModelHash, stampModelFolder } from '#models/families/index.ts';
import type { Provider } from '#models/runtime/session.ts';
import { programVersion } from '#models/version.ts';
import type { Project } from '#pipelines/store/project.ts';
import { createAskCompute } from './ask-compute.ts';
import type { AlgorithmInfo, EngineContext } from './context.ts';
import {
  type EventName,
  type EventPayload,
  type Input,
  type Output,
  type ParsedInput,
  type ProcedureName,
  procedures,
} from './contract.ts';
import { handlers } from './handlers/index.ts';
import { emitRun, endBlindEarly, handleJobDone, handleJobEvent } from './job-events.ts';
import { createJobQueue, type QueueTimes } from './job-queue.ts';
import { createModelCatalog, type ModelLook } from './model-catalog.ts';
import type { ProcessHost } from './process-host.ts';
import { createRanking } from './ranking.ts';
import { createWarmHost, type WarmTimes } from './warm-host.ts';

export type EngineListener = <N extends EventName>(name: N, payload: EventPayload<N>) => void;

/** The engine of one open project. It never calls the runtime: that is for compute processes. */
export interface Engine {
  /** Parses the input, then runs the procedure. @throws NorthlightError `input/invalid`, and what the procedure names. */
  call<N extends ProcedureName>(name: N, input: Input<N>): Promise<Output<N>>;
  /** Returns how to stop listening. */
  subscribe(listener: EngineListener): () => void;
  /** Pauses the running job and waits for it; the project stays open and is the caller's to close. */
  close(): Promise<void>;
}

export interface EngineOptions {
  readonly project: Project;
  readonly host: ProcessHost;
  readonly kind: 'desktop' | 'browser';
  /** Folder whose subfolders are the bundled models. */
  readonly bundledModels: string;
  /** Threads of a compute process; absent: chosen for this machine. */
  readonly threads?: number;
  /** What training graphs run on; `auto` chooses by measurement. Default: the CPU. */
  readonly provider?: Provider | 'auto';
  readonly times?: Partial<QueueTimes & WarmTimes>;
  /** Replaces `models/families` and `pipelines/finetune` in tests of the engine alone. */
  readonly modelLook?: ModelLook;
  readonly algorithms?: Readonly<Record<string, AlgorithmInfo>>;
  /** Also checks what handlers return. */
  readonly checkOutputs?: boolean;
}

export function createEngine(options: EngineOptions): Engine {
  const { project } = options;
  const listeners = new Set<EngineListener>();
  const emit: EngineContext['emit'] = (name, payload) => {
    for (const listener of listeners) {
      try {
        listener(name, payload);
      } catch (error) {
        // A window that cannot be reached must not stop a job.
        console.error(error);
      }
    }
  };
  const host = createWarmHost(options.host, options.times);
  const queue = createJobQueue({
    db: project.db,
    project: project.directory,
    host,
    ...(options.threads !== undefined && { threads: options.threads }),
    ...(options.times && { times: options.times }),
    listener: {
      job: (job) => {
        if (job.kind === 'compare' && job.state === 'cancelled') endBlindEarly(project, emit, job.sessionId);
        emit('job', job);
        if (job.kind === 'dry-step' && job.state === 'done') void tellModel(job.modelId);
        emitRun(project, emit, job.runId);
      },
      event: (row, topic, data) => handleJobEvent(project, emit, row, topic, data),
      done: (row, result) => handleJobDone(project, row, result),
    },
  });
  const catalog = createModelCatalog(
    project.db,
    options.bundledModels,
    join(project.directory, 'models'),
    options.modelLook ?? familiesLook,
    (model) => emit('model', model),
  );
  const tellModel = async (id: string) => {
    try {
      emit('model', await catalog.get(id));
    } catch {
      // It was taken off the list meanwhile.
    }
  };
  const context: EngineContext = {
    project,
    queue,
    emit,
    catalog,
    bundledModels: options.bundledModels,
    ranking: createRanking(),
    host,
    ask: createAskCompute(host, project.directory, options.threads),
    algorithms: async () => options.algorithms ?? (await import('#pipelines/finetune/index.ts')).algorithms,
    threads: options.threads,
    info: {
      version: programVersion(),
      host: options.kind,
      project: project.directory,
      threads: options.threads ?? availableParallelism(),
    },
    provider: options.provider ?? 'cpu',
  };

  return {
    call: async (name, input) => {
      if (!Object.hasOwn(procedures, name)) {
        throw new NorthlightError(
          'input/unknown-procedure',
          `There is no procedure "${name}".`,
          'Window and engine are of different versions: restart Northlight.',
        );
      }
      const output = await invoke(name, parseInput(name, input), context);
      return options.checkOutputs ? (procedures[name].output.parse(output) as typeof output) : output;
    },
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: async () => {
      catalog.close();
      await queue.close();
      host.close();
    },
  };
}

async function invoke<N extends ProcedureName>(
  name: N,
  input: ParsedInput<N>,
  context: EngineContext,
): Promise<Output<N>> {
  return handlers[name](input, context);
}

function parseInput<N extends ProcedureName>(name: N, input: unknown): ParsedInput<N> {
  const schema: z.ZodType = procedures[name].input;
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data as ParsedInput<N>;
  const issue = parsed.error.issues[0];
  const where = [name, ...(issue?.path ?? [])].join('.');
  throw new NorthlightError('input/invalid', `${where}: ${issue?.message ?? 'invalid'}`, 'Correct this value.');
}

const familiesLook: ModelLook = {
  examine: examineModel,
  stamp: stampModelFolder,
  hash: (directory, signal) => rememberedModelHash(directory, { signal }),
};
