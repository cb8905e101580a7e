import { type ChildProcess, spawn } from 'node:child_process';
import { join, resolve } from 'node:path';
import { electronBinary } from '#pipelines/cli/electron-binary.ts';
import { buildDesktop, buildWindow } from './build.ts';
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
  const binary = electronBinary();
  const reason = whyNoWindow(binary, { platform: process.platform, env: process.env, uid: process.getuid?.() });
  if (isStale('renderer')) {
    console.log('Building the window …');
    await buildWindow();
  }
  if (reason === undefined && isStale('desktop')) await buildDesktop();
  if (reason === undefined && binary !== undefined) {
    follow(spawn(binary, [root, ...args], { stdio: 'inherit' }));
    return;
  }
  console.log(`Opening in a browser: ${reason}.`);
  const command = [join(root, 'pipelines/cli/main.ts'), 'serve', ...args];
  const child = spawn(process.execPath, command, { stdio: ['inherit', 'pipe', 'inherit'] });
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    process.stdout.write(text);
    const [url] = /http:\/\/127\.0\.0\.1:\S+/.exec(text) ?? [];
    const opener = url === undefined ? undefined : browserOpener(process.platform, process.env);
    // No browser is no failure: the address stands in the terminal.
    if (opener !== undefined) spawn(opener[0], [...opener[1], url!], { stdio: 'ignore' }).on('error', () => {});
  });
  follow(child);
}

/** The program that opens an address in the person's browser; undefined where there is no screen. */
export function browserOpener(platform: NodeJS.Platform, env: NodeJS.ProcessEnv): [string, string[]] | undefined {
  if (platform === 'darwin') return ['open', []];
  if (platform === 'win32') return ['cmd', ['/c', 'start', '']];
  return env.DISPLAY || env.WAYLAND_DISPLAY ? ['xdg-open', []] : undefined;
}

/** Ends when the child ends, with its code. Ctrl-C in a terminal reaches the child by itself; anything else is passed on. */
function follow(child: ChildProcess): void {
  process.on('SIGINT', () => process.stdin.isTTY || child.kill('SIGINT'));
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  child.on('exit', (code, signal) => {
    process.exitCode = signal === null ? (code ?? 1) : 130;
  });
}

if (import.meta.main) await start(process.argv.slice(2));
