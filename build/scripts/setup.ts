import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/**
 * Installs what the tests need from the system and cannot come from npm: a Chromium for the window's tests, and a font for
 * it to draw with. Does nothing where it is all there. Never fails on its own: it says what is missing, and the tests that
 * need it fail with the same words.
 */

const CHROMIUM = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
];
const FONTS = ['/usr/share/fonts/truetype/dejavu', '/usr/share/fonts/truetype/liberation', '/usr/share/fonts/dejavu'];

export interface Machine {
  readonly platform: NodeJS.Platform;
  exists(path: string): boolean;
  /** Exit status of a program, its output shown; null when it cannot be started. */
  run(program: string, args: readonly string[]): number | null;
  readonly isRoot: boolean;
  say(text: string): void;
}

/** Debian package names of what is missing. */
export function missingPackages(machine: Pick<Machine, 'exists' | 'platform'>): string[] {
  if (machine.platform !== 'linux') return [];
  const missing: string[] = [];
  if (!CHROMIUM.some((path) => machine.exists(path))) missing.push('chromium');
  if (!FONTS.some((path) => machine.exists(path))) missing.push('fonts-dejavu-core');
  return missing;
}

/** Installs what is missing with apt-get where that is possible without asking for a password. */
export function setup(machine: Machine): void {
  const missing = missingPackages(machine);
  if (missing.length === 0) return;
  const byHand = `sudo apt-get install ${missing.join(' ')}`;
  const canSudo = machine.isRoot || machine.run('sudo', ['-n', 'true']) === 0;
  if (!machine.exists('/usr/bin/apt-get') || !canSudo) {
    machine.say(
      `The window's tests need ${missing.join(' and ')}. Install with: ${byHand} (or your system's own way).`,
    );
    return;
  }
  machine.say(`Installing ${missing.join(' and ')} for the window's tests …`);
  const apt = (...args: string[]) =>
    machine.isRoot ? machine.run('apt-get', args) : machine.run('sudo', ['-n', 'apt-get', ...args]);
  const install = ['install', '-y', '-q', '--no-install-recommends', ...missing];
  // The package lists may be old or absent: try with what is there, then with fresh lists.
  if (apt(...install) === 0) return;
  if (apt('update', '-q') === 0 && apt(...install) === 0) return;
  machine.say(`That did not work. Install by hand: ${byHand}`);
}

if (import.meta.main) {
  setup({
    platform: process.platform,
    exists: existsSync,
    run: (program, args) =>
      spawnSync(program, [...args], {
        stdio: ['ignore', 'inherit', 'inherit'],
        env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      }).status,
    isRoot: process.getuid?.() === 0,
    say: (text) => console.log(text),
  });
}
