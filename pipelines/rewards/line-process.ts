import { type ChildProcess, spawn } from 'node:child_process';
import { NorthlightError } from '#models/errors.ts';

/** Longest line a program may write, in characters. */
const LONGEST_LINE = 1 << 24;
const STDERR_LINES = 5;
const CLOSE_GRACE_MS = 500;

/** A program that is asked by lines on its standard input and answers by lines on its standard output. */
export interface LineProcess {
  readonly alive: boolean;
  /** Writes a line and waits for the next one. @throws {NorthlightError} `reward/timeout`, `reward/crashed`, `reward/reply`. */
  ask(line: string, timeoutMs: number): Promise<string>;
  /** Ends the program and everything it started. */
  close(): Promise<void>;
}

/**
 * Starts a program in a process group of its own.
 * @throws {NorthlightError} `reward/not-found` when it cannot be started.
 */
export async function startLineProcess(program: string, args: readonly string[]): Promise<LineProcess> {
  const windows = process.platform === 'win32';
  const child = spawn(program, args, { detached: !windows, windowsHide: true, stdio: ['pipe', 'pipe', 'pipe'] });
  const { stdin, stdout, stderr } = child;
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) =>
      reject(
        new NorthlightError(
          'reward/not-found',
          `The program "${program}" cannot be started (${(error as NodeJS.ErrnoException).code ?? error.message}).`,
          'Check its path after "command:", and that it may be executed.',
          { cause: error },
        ),
      ),
    );
  });

  let waiting: { resolve(line: string): void; reject(error: NorthlightError): void } | undefined;
  const lines: string[] = [];
  let partial = '';
  let said = '';
  let failure: NorthlightError | undefined;
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));

  const fail = (error: NorthlightError) => {
    failure ??= error;
    waiting?.reject(failure);
    waiting = undefined;
    killGroup(child);
  };
  stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const parts = (partial + chunk).split('\n');
    partial = parts.pop()!;
    if (partial.length > LONGEST_LINE) {
      fail(
        new NorthlightError('reward/reply', `"${program}" wrote a line without end.`, 'Answer with one short line.'),
      );
    }
    lines.push(...parts.filter((part) => part.trim() !== ''));
    if (waiting && lines.length > 0) {
      waiting.resolve(lines.shift()!);
      waiting = undefined;
    }
  });
  stderr.setEncoding('utf8').on('data', (chunk: string) => {
    said = (said + chunk).slice(-4096);
  });
  // A program that ends while it is written to is reported by its end.
  stdin.on('error', () => {});
  const crashed = (how: string) => {
    const last = said.trimEnd().split('\n').slice(-STDERR_LINES).join('\n');
    return new NorthlightError(
      'reward/crashed',
      `"${program}" ended (${how})${last === '' ? ' and said nothing' : `. It said:\n${last}`}`,
      'Run it by hand with the same line on its standard input.',
    );
  };
  child.once('close', (code, signal) => fail(crashed(signal === null ? `exit code ${code}` : `signal ${signal}`)));
  const onExit = () => killGroup(child);
  process.once('exit', onExit);

  return {
    get alive() {
      return failure === undefined;
    },
    ask(line, timeoutMs) {
      return new Promise((resolve, reject) => {
        if (failure) return reject(failure);
        const timer = setTimeout(
          () =>
            fail(
              new NorthlightError(
                'reward/timeout',
                `"${program}" did not answer within ${timeoutMs / 1000} s and was stopped.`,
                'Make it faster, or flush its standard output after each line.',
              ),
            ),
          timeoutMs,
        );
        const settle =
          <T>(then: (value: T) => void) =>
          (value: T) => {
            clearTimeout(timer);
            then(value);
          };
        waiting = { resolve: settle(resolve), reject: settle(reject) };
        if (lines.length > 0) return fail(unasked(program, lines[0]!));
        stdin.write(`${line}\n`);
      });
    },
    async close() {
      process.removeListener('exit', onExit);
      stdin.end();
      // Time to finish by itself; what it started ends with it either way.
      const timer = setTimeout(() => killGroup(child), CLOSE_GRACE_MS);
      await closed;
      clearTimeout(timer);
      killGroup(child);
    },
  };
}

/** A line that nobody asked for would be taken for the next answer. */
function unasked(program: string, line: string): NorthlightError {
  return new NorthlightError(
    'reward/reply',
    `"${program}" wrote a line before it was asked: ${line.slice(0, 200)}`,
    'Write anything that is no answer to standard error.',
  );
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  if (process.platform === 'win32') {
    if (child.exitCode === null) spawn('taskkill', ['/pid', String(child.pid), '/T', '/F'], { windowsHide: true });
    return;
  }
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // The group is gone already.
  }
}
