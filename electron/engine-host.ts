import { join } from 'node:path';
import { MessageChannelMain, type MessagePortMain, type UtilityProcess, utilityProcess } from 'electron';
import { COMPUTE_ENVIRONMENT } from '#models/runtime/training-options.ts';
import type { FromEngine, ToEngine } from './protocol.ts';
import type { JobsStatus } from './watch-jobs.ts';

export interface EngineHostOptions {
  /** Folder of the bundled entries. */
  readonly outFolder: string;
  /** Arguments of the engine process. */
  readonly args: readonly string[];
  /** The engine is up (again): windows get a new port. */
  readonly onReady: () => void;
  readonly onStatus: (status: JobsStatus) => void;
  /** The engine stays down: it said why, or it ended too often. */
  readonly onGivenUp: (message: string) => void;
}

export interface EngineHost {
  readonly status: JobsStatus;
  start(): void;
  /** A fresh port to the engine, for one window. */
  connect(): MessagePortMain;
  /** File of a picture's thumbnail, made by the engine when there is none; null when there is no such picture. */
  thumbnail(hash: string): Promise<string | null>;
  /** Asks the engine to stop safely; resolves when it is gone. After `timeoutMs` it and its compute processes are killed. */
  stop(timeoutMs: number): Promise<void>;
}

const IDLE: JobsStatus = { running: 0, fraction: null };
const RESTARTS = { count: 3, withinMs: 60_000, delaysMs: [250, 1000, 4000] } as const;

/** Variables a utility process may see: what the system needs to find its folders and libraries, nothing else. */
const ENVIRONMENT =
  /^(PATH|HOME|USER|LANG|LC_.*|TZ|TMPDIR|TEMP|TMP|SystemRoot|windir|APPDATA|LOCALAPPDATA|USERPROFILE|PROGRAMDATA|XDG_.*|LD_LIBRARY_PATH|CUDA_.*|VK_.*|DISPLAY|WAYLAND_DISPLAY)$/i;

export function minimalEnvironment(env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter(
      (entry): entry is [string, string] => ENVIRONMENT.test(entry[0]) && entry[1] !== undefined,
    ),
  );
}

/** Runs the engine as a utility process, forks compute processes for it, and starts it again when it crashes. */
export function createEngineHost(options: EngineHostOptions): EngineHost {
  let engine: UtilityProcess | undefined;
  let status = IDLE;
  let stopping = false;
  let failure: string | undefined;
  let crashes: number[] = [];
  const compute = new Map<number, UtilityProcess>();
  const thumbnails = new Map<string, { file: Promise<string | null>; found: (path: string | null) => void }>();

  const fork = (entry: string, args: readonly string[], serviceName: string, env: Record<string, string>) =>
    utilityProcess.fork(join(options.outFolder, entry), [...args], { serviceName, env, stdio: 'inherit' });

  const setStatus = (next: JobsStatus) => {
    status = next;
    options.onStatus(next);
  };

  const start = () => {
    failure = undefined;
    const child = fork('engine.mjs', options.args, 'Northlight engine', minimalEnvironment(process.env));
    engine = child;
    child.on('message', (message: FromEngine) => receive(child, message));
    child.on('exit', (code) => ended(code));
  };

  const ended = (code: number) => {
    engine = undefined;
    for (const child of compute.values()) child.kill();
    compute.clear();
    for (const { found } of thumbnails.values()) found(null);
    thumbnails.clear();
    setStatus(IDLE);
    if (stopping) return;
    const now = Date.now();
    crashes = [...crashes.filter((time) => now - time < RESTARTS.withinMs), now];
    if (failure !== undefined || crashes.length > RESTARTS.count) {
      options.onGivenUp(failure ?? `The engine ended ${crashes.length} times within a minute (exit code ${code}).`);
      return;
    }
    setTimeout(() => !stopping && start(), RESTARTS.delaysMs[crashes.length - 1]);
  };

  const receive = (from: UtilityProcess, message: FromEngine) => {
    if (from !== engine) return;
    if (message.t === 'ready') options.onReady();
    else if (message.t === 'status') setStatus({ running: message.running, fraction: message.fraction });
    else if (message.t === 'failed') failure = `${message.message} ${message.hint}`.trim();
    else if (message.t === 'kill') compute.get(message.id)?.kill();
    else if (message.t === 'thumbnail') {
      thumbnails.get(message.hash)?.found(message.path);
      thumbnails.delete(message.hash);
    } else spawn(from, message.id);
  };

  const spawn = (asker: UtilityProcess, id: number) => {
    const child = fork('compute.mjs', [], 'Northlight compute', {
      ...minimalEnvironment(process.env),
      ...COMPUTE_ENVIRONMENT,
    });
    compute.set(id, child);
    const tell = (message: ToEngine, ports: MessagePortMain[] = []) => {
      if (asker === engine) asker.postMessage(message, ports);
    };
    const { port1, port2 } = new MessageChannelMain();
    child.postMessage({ t: 'port' }, [port2]);
    tell({ t: 'compute', id }, [port1]);
    child.on('spawn', () => tell({ t: 'compute-pid', id, pid: child.pid }));
    child.on('exit', (code) => {
      compute.delete(id);
      tell({ t: 'compute-exit', id, detail: `exit code ${code}` });
    });
  };

  return {
    get status() {
      return status;
    },
    start,
    connect() {
      const { port1, port2 } = new MessageChannelMain();
      engine?.postMessage({ t: 'window' } satisfies ToEngine, [port1]);
      return port2;
    },
    thumbnail(hash) {
      const asked = thumbnails.get(hash);
      if (asked) return asked.file;
      if (engine === undefined) return Promise.resolve(null);
      const { promise, resolve } = Promise.withResolvers<string | null>();
      thumbnails.set(hash, { file: promise, found: resolve });
      engine.postMessage({ t: 'thumbnail', hash } satisfies ToEngine);
      return promise;
    },
    stop(timeoutMs) {
      stopping = true;
      const child = engine;
      if (child === undefined) return Promise.resolve();
      return new Promise((resolve) => {
        const timer = setTimeout(() => {
          for (const running of compute.values()) running.kill();
          child.kill();
        }, timeoutMs);
        child.on('exit', () => {
          clearTimeout(timer);
          resolve();
        });
        child.postMessage({ t: 'shutdown' } satisfies ToEngine);
      });
    },
  };
}
