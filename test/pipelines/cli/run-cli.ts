import { main, type Terminal } from '#pipelines/cli/main.ts';

export interface CliRun {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** The last JSON line of standard output, with `--json`. */
  result(): Record<string, unknown>;
}

/** Runs a command line in this process, with everything it writes kept. */
export async function runCli(...args: string[]): Promise<CliRun> {
  let out = '';
  let err = '';
  const terminal: Terminal = {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    columns: () => 0,
    onInterrupt: () => () => {},
    exit: (code) => {
      throw new Error(`exit ${code}`);
    },
  };
  const code = await main(args, terminal);
  return {
    code,
    out,
    err,
    result: () => JSON.parse(out.trimEnd().split('\n').at(-1) ?? '') as Record<string, unknown>,
  };
}
