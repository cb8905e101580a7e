import { execFileSync, spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { isStale } from '#build/scripts/stale.ts';

/** `northlight serve` as a person starts it. */
export interface Serving {
  readonly url: string;
  /** All compute processes: that of the running job, and those that wait for one. */
  computePids(): number[];
  /** Ends it as Ctrl-C does; resolves with its exit code. */
  stop(): Promise<number | null>;
  /** What it wrote to standard error. */
  readonly errors: () => string;
}

/** Builds the window unless what is built is of the sources as they are. */
export function buildWindow(): void {
  if (!isStale('renderer')) return;
  // Test runners set NODE_ENV, and the window would be built for development.
  const { NODE_ENV: _, ...env } = process.env;
  const script = "import('#build/scripts/build.ts').then((build) => build.buildWindow())";
  execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: resolve('.'), env, stdio: 'inherit' });
}

export async function serve(project: string): Promise<Serving> {
  // One thread: on a busy machine two wait for one another most of the time.
  const args = ['pipelines/cli/main.ts', 'serve', '--project', project, '--threads', '1', '--json'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const ended = new Promise<number | null>((done) => child.on('exit', done));
  const url = await new Promise<string>((ready, failed) => {
    createInterface(child.stdout).on('line', (line) => {
      const message = JSON.parse(line) as { type: string; url: string };
      if (message.type === 'ready') ready(message.url);
    });
    void ended.then((code) => failed(new Error(`serve ended with code ${code}: ${errors}`)));
  });
  return {
    url,
    computePids() {
      const processes = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' });
      return processes.split('\n').flatMap((line) => {
        const [pid, parent] = line.trim().split(/\s+/).map(Number);
        return parent === child.pid && line.includes('compute.ts') ? [pid!] : [];
      });
    },
    stop() {
      child.kill('SIGINT');
      return ended;
    },
    errors: () => errors,
  };
}
