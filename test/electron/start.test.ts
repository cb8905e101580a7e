import { describe, expect, test } from 'vitest';
import { type Machine, missingPackages, setup } from '#build/scripts/setup.ts';
import { browserOpener, whyNoWindow } from '#build/scripts/start.ts';

describe('npm start', () => {
  const linux = { platform: 'linux' as const, env: { DISPLAY: ':0' }, uid: 1000 };
  test.each([
    ['no binary', undefined, linux, /install-electron/],
    ['no screen', '/e', { ...linux, env: {} }, /no screen/],
    ['root', '/e', { ...linux, uid: 0 }, /for root/],
    ['a desk', '/e', linux, undefined],
    ['Wayland', '/e', { ...linux, env: { WAYLAND_DISPLAY: 'w' } }, undefined],
    ['a Mac', '/e', { platform: 'darwin' as const, env: {}, uid: 501 }, undefined],
  ])('with %s opens the window or says why not', (_title, binary, machine, reason) => {
    const why = whyNoWindow(binary, machine);
    if (reason === undefined) expect(why).toBeUndefined();
    else expect(why).toMatch(reason);
  });
  test('opens a browser only where there is a screen', () => {
    expect(browserOpener('linux', {})).toBeUndefined();
    expect(browserOpener('linux', { DISPLAY: ':0' })).toEqual(['xdg-open', []]);
    expect(browserOpener('darwin', {})).toEqual(['open', []]);
  });
});

describe('set-up', () => {
  /** A machine that records what is run on it. */
  function machine(has: string[], statuses: (line: string) => number, isRoot = false) {
    const ran: string[] = [];
    const said: string[] = [];
    const fake: Machine = {
      platform: 'linux',
      exists: (path) => has.includes(path),
      run(program, args) {
        ran.push([program, ...args].join(' '));
        return statuses(ran.at(-1)!);
      },
      isRoot,
      say: (text) => said.push(text),
    };
    return { fake, ran, said };
  }
  const complete = ['/usr/bin/chromium', '/usr/share/fonts/truetype/dejavu'];

  test('does nothing where everything is there, and on other systems', () => {
    const { fake, ran } = machine(complete, () => 0);
    setup(fake);
    expect(ran).toEqual([]);
    expect(missingPackages({ platform: 'darwin', exists: () => false })).toEqual([]);
  });

  test('installs only what is missing, and refreshes the lists only when the first try fails', () => {
    const { fake, ran } = machine(['/usr/bin/apt-get', ...complete.slice(1)], () => 0, true);
    setup(fake);
    expect(ran).toEqual(['apt-get install -y -q --no-install-recommends chromium']);
    let tries = 0;
    const second = machine(['/usr/bin/apt-get'], (line) => (line.includes('install') && tries++ === 0 ? 100 : 0), true);
    setup(second.fake);
    expect(second.ran.map((line) => line.split(' ')[1])).toEqual(['install', 'update', 'install']);
    expect(second.said.join()).not.toContain('by hand');
  });

  test('never asks for a password: without rights it says what to install', () => {
    const { fake, ran, said } = machine(['/usr/bin/apt-get'], () => 1);
    setup(fake);
    expect(ran).toEqual(['sudo -n true']);
    expect(said.join()).toContain('sudo apt-get install chromium fonts-dejavu-core');
  });

  test('says so when the installation fails', () => {
    const { fake, said } = machine(['/usr/bin/apt-get'], () => 100, true);
    setup(fake);
    expect(said.at(-1)).toContain('Install by hand');
  });
});
