import type { FromCompute, ToCompute } from './job-protocol.ts';

/** A running compute process. Messages sent before it listens are kept for it. */
export interface ComputeHandle {
  /** Undefined until the operating system has said so. */
  readonly pid: number | undefined;
  send(message: ToCompute): void;
  onMessage(listener: (message: FromCompute) => void): void;
  /** Called once, after the last message; `detail` says how it ended ("signal SIGKILL", "exit code 134"). */
  onExit(listener: (detail: string) => void): void;
  /** Ends it at once, also inside a call into the runtime. */
  kill(): void;
}

/** Starts compute processes. The desktop app and plain Node have their own way (`hosts/`). */
export interface ProcessHost {
  fork(): ComputeHandle;
}
