import { spawn } from 'node:child_process';
import { join, resolve } from 'node:path';
import { electronBinary } from '#pipelines/cli/electron-binary.ts';
import { buildAll } from './build.ts';
import { isStale } from './stale.ts';

/**
 * `npm start`: the desktop window where Electron's binary is installed and there is a screen, else the same window in a
 * browser. Arguments are passed on (`npm start -- --project DIR`).
 */

const root = resolve(import.meta.dirname, '../..');

/** Why the desktop window cannot open here, or undefined when it can. */
export function whyNoWindow(
  binary: string | undefined,
  machine: { platform: NodeJS.Platform; env: NodeJS.ProcessEnv; uid: number | undefined },
): string | undefined {
  if (binary === undefined) return 'the Electron binary is not installed ("npx install-electron --no" fetches it)';
  if (machine.platform !== 'linux') return undefined;
  if (!machine.env.DISPLAY && !machine.env.WAYLAND_DISPLAY) return 'there is no screen';
  return machine.uid === 0 ? 'Electron does not open windows for root; use another account' : undefined;
}

async function start(args: readonly string[]): Promise<void> {
  if (isStale()) {
    console.log('Building …');
    await buildAll();
  }
  const binary = electronBinary();
  const reason = whyNoWindow(binary, { platform: process.platform, env: process.env, uid: process.getuid?.() });
  const [program, programArgs] =
    reason === undefined && binary !== undefined
      ? [binary, [root, ...args]]
      : [process.execPath, [join(root, 'pipelines/cli/main.ts'), 'serve', '--open', ...args]];
  if (reason !== undefined) console.log(`Opening in a browser: ${reason}.`);
  const child = spawn(program, programArgs, { cwd: process.cwd(), stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => {
    process.exitCode = signal === null ? (code ?? 1) : 130;
  });
}

if (import.meta.main) await start(process.argv.slice(2));
