import { NorthlightError, toPlainError } from '#models/errors.ts';
import { suggestion } from '#models/nearest.ts';
import { programVersion } from '#models/version.ts';
import type { Command, Io } from './command.ts';
import { commands } from './commands/index.ts';
import { parseCommandLine } from './flags.ts';
import { commandHelp, generalHelp } from './help.ts';
import { barProgress, jsonProgress, noProgress, type Progress } from './progress.ts';

/** The outside of the command line: replaced in tests. */
export interface Terminal {
  out(text: string): void;
  err(text: string): void;
  /** Width of the terminal behind standard error; 0 when it is not a terminal. */
  columns(): number;
  /** Calls back at each Ctrl-C; returns how to stop listening. */
  onInterrupt(callback: () => void): () => void;
  /** Ends the process at once. */
  exit(code: number): void;
}

export const EXIT = { done: 0, failed: 1, badInput: 2, interrupted: 130 } as const;

/** Areas of error codes in which the machine or the work failed, not what was given. All other named errors are bad input. */
const FAILURES =
  /^(internal|runtime|engine|job|compute|store|train)(\/|$)|^file\/(disk-full|io|not-writable|too-large)$|^reward\/(crashed|failed|memory|timeout)$/;

export function exitCodeOf(error: unknown): number {
  return error instanceof NorthlightError && !FAILURES.test(error.code) ? EXIT.badInput : EXIT.failed;
}

/** Runs one command line (without `node` and the script). Never throws; returns the exit code. */
export async function main(argv: readonly string[], terminal: Terminal): Promise<number> {
  const json = argv.includes('--json');
  try {
    return await dispatch(argv, terminal, json);
  } catch (error) {
    writeError(error, terminal, json);
    return exitCodeOf(error);
  }
}

async function dispatch(argv: readonly string[], terminal: Terminal, json: boolean): Promise<number> {
  const [first = '--help'] = argv;
  if (first === '--version') {
    terminal.out(`${programVersion()}\n`);
    return EXIT.done;
  }
  if (['--help', '-h', 'help'].includes(first)) {
    terminal.out(generalHelp(await Promise.all(Object.values(commands).map((load) => load()))));
    return argv.length === 0 ? EXIT.badInput : EXIT.done;
  }
  const names = Object.keys(commands);
  const name = [argv.slice(0, 2).join(' '), first].find((candidate) => names.includes(candidate));
  if (name === undefined) {
    const group = names.filter((known) => known.startsWith(`${first} `));
    if (group.length > 0) {
      const hint =
        argv[1] === undefined || argv[1].startsWith('-') ? '' : suggestion(argv.slice(0, 2).join(' '), group);
      throw new NorthlightError('usage', `"${first}" needs one of: ${group.join(', ')}.`, hint);
    }
    if (first.startsWith('-')) throw new NorthlightError('usage', 'The command comes first.', 'See northlight --help.');
    throw new NorthlightError('usage', `There is no command "${first}".`, suggestion(first, names));
  }
  const command = await commands[name]!();
  const parsed = await parseCommandLine(command, argv.slice(name.split(' ').length));
  if (parsed.help) {
    terminal.out(await commandHelp(command, parsed.options));
    return EXIT.done;
  }
  return runCommand(command, parsed.options, terminal, json);
}

/** Runs one command with parsed options; Ctrl-C as `Io.signal` says. */
export async function runCommand(
  command: Command,
  options: Record<string, unknown>,
  terminal: Terminal,
  json: boolean,
): Promise<number> {
  const progress: Progress = json
    ? jsonProgress(terminal.out)
    : terminal.columns() > 0
      ? barProgress(terminal.err, terminal.columns)
      : noProgress;
  const controller = new AbortController();
  let stopsSoftly = false;
  let stopped = '';
  const sayStopped = () => {
    progress.end();
    const message = `Stopped.${stopped === '' ? '' : ` ${stopped}`}`;
    terminal.err(
      json ? `${JSON.stringify({ type: 'error', code: 'interrupted', message, hint: '' })}\n` : `${message}\n`,
    );
  };
  const io: Io = {
    json,
    progress: progress.report,
    note(text) {
      if (json) return;
      progress.end();
      terminal.err(`${text}\n`);
    },
    get signal() {
      stopsSoftly = true;
      return controller.signal;
    },
    whenStopped(text) {
      stopped = text;
    },
  };
  const unlisten = terminal.onInterrupt(() => {
    if (stopsSoftly && !controller.signal.aborted) {
      io.note('Stopping after this step. Press Ctrl-C again to stop at once.');
      controller.abort();
      return;
    }
    sayStopped();
    terminal.exit(EXIT.interrupted);
  });
  try {
    const result = await command.run(options as never, io);
    progress.end();
    if (json) terminal.out(`${JSON.stringify({ type: 'result', ...(result as object) })}\n`);
    else terminal.out(`${(command.show?.(result) ?? JSON.stringify(result, null, 2)).trimEnd()}\n`);
    if (controller.signal.aborted) {
      sayStopped();
      return EXIT.interrupted;
    }
    return command.exitCode?.(result) ?? EXIT.done;
  } catch (error) {
    progress.end();
    if (!controller.signal.aborted) throw error;
    sayStopped();
    return EXIT.interrupted;
  } finally {
    unlisten();
  }
}

/** One line on standard error. A message of several lines becomes one. NORTHLIGHT_DEBUG adds the stack of our own faults. */
function writeError(error: unknown, terminal: Terminal, json: boolean): void {
  const plain = toPlainError(error);
  if (process.env.NORTHLIGHT_DEBUG && error instanceof Error) terminal.err(`${error.stack}\n`);
  if (json) {
    terminal.err(`${JSON.stringify({ type: 'error', ...plain })}\n`);
    return;
  }
  const line = [plain.message, plain.hint].filter((part) => part !== '').join(' ');
  terminal.err(`northlight: ${line.replaceAll(/\s*\n\s*/g, ' ')}\n`);
}

/** The terminal of this process. Stopping it from outside (SIGTERM) counts as Ctrl-C. */
export function processTerminal(): Terminal {
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    columns: () => (process.stderr.isTTY ? (process.stderr.columns ?? 80) : 0),
    onInterrupt(callback) {
      process.on('SIGINT', callback);
      process.on('SIGTERM', callback);
      return () => {
        process.off('SIGINT', callback);
        process.off('SIGTERM', callback);
      };
    },
    exit: (code) => process.exit(code),
  };
}

if (import.meta.main) {
  // `northlight … | head` closes our output early: that is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  process.exitCode = await main(process.argv.slice(2), processTerminal());
}
