import { create } from 'zustand';
import type { Adapter, Job, Model, Output, Run, Session } from '#pipelines/engine/contract.ts';
import type { Client, Connection } from '#renderer/transport/client.ts';
import { type EngineError, toEngineError } from '#renderer/transport/wire.ts';
import { type Place, useNavigation } from './navigation.ts';
import { say } from './toasts.ts';

type Info = Output<'app.info'>;

/** What every place of the window needs to know: the engine's lists, kept current by its events. Null = not loaded yet. */
export interface AppState {
  connection: Connection;
  info: Info | null;
  models: Model[] | null;
  adapters: Adapter[] | null;
  jobs: Job[] | null;
  sessions: Session[] | null;
  runs: Run[] | null;
  /** Why the lists could not be read. */
  error: EngineError | null;
}

export const useApp = create<AppState>(() => ({
  connection: { phase: 'connecting' },
  info: null,
  models: null,
  adapters: null,
  jobs: null,
  sessions: null,
  runs: null,
  error: null,
}));

/** The list with `item` in its place, or at its front when new. */
export function upsert<T extends { readonly id: string }>(list: readonly T[] | null, item: T): T[] {
  const all = list ?? [];
  return all.some((old) => old.id === item.id) ? all.map((old) => (old.id === item.id ? item : old)) : [item, ...all];
}

const placeOfKind: Readonly<Record<Job['kind'], Place>> = {
  generate: 'generate',
  tune: 'tune',
  compare: 'compare',
  verify: 'models',
  score: 'gallery',
  reproduce: 'generate',
  'dry-step': 'models',
  bank: 'generate',
  values: 'generate',
};

const newestFirst = <T extends { readonly createdAt: string }>(list: readonly T[]): T[] =>
  [...list].sort((a, b) => b.createdAt.localeCompare(a.createdAt));

export const takeJob = (job: Job) => useApp.setState((s) => ({ jobs: upsert(s.jobs, job) }));
export const takeSession = (session: Session) => useApp.setState((s) => ({ sessions: upsert(s.sessions, session) }));
export const takeRun = (run: Run) => useApp.setState((s) => ({ runs: upsert(s.runs, run) }));
export const takeAdapter = (adapter: Adapter) => useApp.setState((s) => ({ adapters: upsert(s.adapters, adapter) }));

export async function refreshModels(client: Client): Promise<void> {
  useApp.setState({ models: await client.call('models.list', {}) });
}

async function refreshAdapters(client: Client): Promise<void> {
  useApp.setState({ adapters: newestFirst(await client.call('adapters.list', {})) });
}

/** Reads everything anew: after the first connection and after every reconnection, because events may have been missed. */
export async function synchronise(client: Client): Promise<void> {
  try {
    const [info, models, adapters, jobs, sessions, runs] = await Promise.all([
      client.call('app.info', {}),
      client.call('models.list', {}),
      client.call('adapters.list', {}),
      client.call('jobs.list', {}),
      client.call('sessions.list', {}),
      client.call('runs.list', {}),
    ]);
    useApp.setState({
      info,
      models,
      adapters: newestFirst(adapters),
      jobs: newestFirst(jobs),
      sessions: newestFirst(sessions),
      runs: newestFirst(runs),
      error: null,
    });
  } catch (error) {
    useApp.setState({ error: toEngineError(error) });
  }
}

/** Connects the lists to the engine: synchronises on every connection and follows its events. */
export function followEngine(client: Client): void {
  client.onConnection((connection) => {
    useApp.setState({ connection });
    if (connection.phase === 'ready') void synchronise(client);
  });
  client.on('job', (job) => {
    const before = useApp.getState().jobs?.find((old) => old.id === job.id);
    takeJob(job);
    if (before?.state === job.state) return;
    if (job.state === 'done' && (job.kind === 'tune' || job.kind === 'verify')) {
      refreshAdapters(client).catch((error) => useApp.setState({ error: toEngineError(error) }));
    }
    // Where its result is on screen anyway, a note would only be in the way.
    const away = useNavigation.getState().place !== placeOfKind[job.kind];
    if (before && away && job.state === 'done') say(`Done: ${job.title}`);
    if (before && (job.state === 'failed' || job.state === 'set-aside')) say(`Did not finish: ${job.title}`, 'bad');
  });
  client.on('session', takeSession);
  client.on('run', takeRun);
  client.on('model', (model) =>
    useApp.setState((s) => ({ models: s.models?.map((m) => (m.id === model.id ? model : m)) ?? null })),
  );
}
