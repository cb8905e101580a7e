import type { z } from 'zod';
import type { Provider } from '#models/runtime/session.ts';
import type { Project } from '#pipelines/store/project.ts';
import type { AskCompute } from './ask-compute.ts';
import type { EventName, EventPayload, Output, ParsedInput, ProcedureName } from './contract.ts';
import type { JobQueue } from './job-queue.ts';
import type { ModelCatalog } from './model-catalog.ts';
import type { Ranking } from './ranking.ts';
import type { WarmHost } from './warm-host.ts';

/** An entry of `pipelines/finetune`, as far as the engine needs it. */
export interface AlgorithmInfo {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly source: string;
  readonly schema: z.ZodObject;
}

/** What handlers share. */
export interface EngineContext {
  readonly project: Project;
  readonly queue: JobQueue;
  readonly catalog: ModelCatalog;
  /** Folder of the models and scorers that ship. */
  readonly bundledModels: string;
  readonly ranking: Ranking;
  readonly info: Omit<Output<'app.info'>, 'provider'>;
  /** What training graphs run on; `auto` chooses by measurement. */
  readonly provider: Provider | 'auto';
  readonly host: Pick<WarmHost, 'warm' | 'release'>;
  /** Of a compute process; absent: chosen for this machine. */
  readonly threads: number | undefined;
  /** A short question to a compute process, beside the queue. */
  readonly ask: AskCompute;
  algorithms(): Promise<Readonly<Record<string, AlgorithmInfo>>>;
  emit<N extends EventName>(name: N, payload: EventPayload<N>): void;
}

/** Handlers of the procedures of one area; inputs arrive parsed. */
export type Handlers<Area extends string> = {
  [N in Extract<ProcedureName, `${Area}.${string}`>]: (
    input: ParsedInput<N>,
    context: EngineContext,
  ) => Output<N> | Promise<Output<N>>;
};
