/** What the main process and the engine say to each other. Ports travel beside `window` and `compute`. */
export type ToEngine =
  /** A port to a window. */
  | { t: 'window' }
  /** A port to the compute process that was asked for. */
  | { t: 'compute'; id: number }
  | { t: 'compute-pid'; id: number; pid: number | undefined }
  | { t: 'compute-exit'; id: number; detail: string }
  /** Answered with `thumbnail`. */
  | { t: 'thumbnail'; hash: string }
  /** Bring running jobs to a safe stop, close the project, exit. */
  | { t: 'shutdown' };

export type FromEngine =
  | { t: 'ready' }
  | { t: 'spawn'; id: number }
  | { t: 'kill'; id: number }
  /** The thumbnail's file; null when there is no such picture. */
  | { t: 'thumbnail'; hash: string; path: string | null }
  /** `fraction` of the running jobs' work that is done; null when nothing runs. */
  | { t: 'status'; running: number; fraction: number | null }
  /** The engine cannot start; it exits afterwards. */
  | { t: 'failed'; message: string; hint: string };
