import { z } from 'zod';

/** How a command talks to whoever started it. */
export interface Io {
  /** True when standard output carries JSON lines. */
  readonly json: boolean;
  /** Reports work done, for the progress bar or the `progress` line. `total` 0 means unknown. */
  progress(stage: string, done: number, total: number): void;
  /** A line for the person (standard error); nothing with `--json`. */
  note(text: string): void;
  /**
   * Aborted by the first Ctrl-C. A command that reads it promises to stop between steps and keep what is finished; one that
   * never reads it is ended at once.
   */
  readonly signal: AbortSignal;
  /** What to say after Ctrl-C: what was kept and how to resume. */
  whenStopped(text: string): void;
}

/** What every command understands. */
export const commonOptions = z.object({
  json: z.boolean().default(false).describe('JSON lines on standard output'),
  provider: z
    .enum(['auto', 'cpu', 'webgpu', 'cuda', 'dml', 'coreml'])
    .default('auto')
    .describe('what runs the networks'),
  threads: z.int().min(1).max(1024).optional().describe('threads per network (default: chosen for this machine)'),
  seed: z
    .int()
    .min(0)
    .max(2 ** 31 - 1)
    .default(0)
    .describe('where all randomness starts'),
  project: z.string().min(1).optional().describe('project folder'),
});
export type CommonOptions = z.output<typeof commonOptions>;

/** Values of `--set key=value`, already typed by the command's settings schema. */
export interface WithSettings {
  readonly set: Readonly<Record<string, unknown>>;
}

/**
 * One command. Its zod schema is its flags (`guidanceScale` becomes `--guidance-scale`), its `--help` and its input check.
 * `commands/` files import nothing heavy at the top: `run` imports what it needs, so that `--help` stays instant.
 */
export interface Command<S extends z.ZodObject = z.ZodObject, R = unknown> {
  /** One or two words: `sample`, `models inspect`. */
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** More for `COMMAND --help`. */
  readonly details?: string;
  readonly options: S;
  /** Keys of `options` given by position, in order. A last one that is an array takes the rest. */
  readonly positionals?: readonly (keyof z.input<S> & string)[];
  /**
   * The schema of `--set key=value` for these options; without it `--set` is refused. Options may be incomplete
   * when `--help` asks.
   */
  settings?(options: Partial<z.output<S>>): Promise<z.ZodObject | undefined>;
  /** Returns the result: the object of the last JSON line. */
  run(options: z.output<S> & CommonOptions & WithSettings, io: Io): Promise<R>;
  /** The result for a person. Without it the JSON is printed, indented. */
  show?(result: R): string;
  /** 0 unless the result itself says that the input cannot be used. */
  exitCode?(result: R): number;
}

export function defineCommand<S extends z.ZodObject, R>(command: Command<S, R>): Command<S, R> {
  return command;
}
