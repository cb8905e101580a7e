import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { createModuleReward, type ModuleOptions } from '#pipelines/rewards/module.ts';
import type { Reward, RewardItem } from '#pipelines/rewards/types.ts';
import { picture } from './pictures.ts';

// Each starts processes, which takes seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

let folder = '';
const opened: Reward[] = [];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'northlight-module-'));
});
afterEach(async () => {
  for (const reward of opened.splice(0)) await reward.close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let made = 0;
const start = async (source: string, options?: ModuleOptions) => {
  const path = join(folder, `score-${made++}.js`);
  writeFileSync(path, source);
  const reward = await createModuleReward(path, options);
  opened.push(reward);
  return reward;
};
const items = (...list: string[]): RewardItem[] => list.map((sequence) => ({ kind: 'sequence', sequence }));
const body = (code: string) => `export default function score(items) { ${code} }`;

test('a script scores sequences and pictures, call after call, with a state of its own', async () => {
  const reward = await start(`
    let calls = 0;
    const count = (s) => s.split('G').length - 1;
    export default (items) => {
      calls++;
      return items.map((item) => (item.kind === 'sequence' ? count(item.sequence) : item.rgb[1] + item.width + item.prompt.length) + calls / 8);
    };`);
  expect(Array.from(await reward.score(items('GATG', 'A')))).toEqual([2.125, 0.125]);
  const image = { ...picture(3, 2, () => [7, 8, 9]), prompt: 'red' };
  expect(Array.from(await reward.score([image]))).toEqual([8 + 3 + 3 + 0.25]);
});

test('more items than one call takes come back in order', async () => {
  const reward = await start(body('return new Float32Array(items.map((item) => item.sequence.length));'));
  const list = Array.from({ length: 150 }, (_, i) => 'A'.repeat(i + 1));
  expect(Array.from(await reward.score(items(...list)))).toEqual(list.map((s) => s.length));
});

describe('a module that is', () => {
  test.each([
    ['no JavaScript', 'export default function (', /cannot be used: .*(token|input)/i],
    ['without a function', 'export const score = 1;', /no "export default function/],
    ['importing', `import fs from 'node:fs'; ${body('return [1]')}`, /imports "node:fs"/],
    ['throwing while it loads', 'throw new Error("no table"); export default 1;', /no table/],
  ])('%s is refused before it scores', async (_, source, message) => {
    await expect(start(source)).rejects.toMatchObject({
      code: 'reward/module',
      message: expect.stringMatching(message),
    });
  });

  const FAULTS: readonly (readonly [string, string, string, RegExp])[] = [
    ['throwing', 'throw new TypeError("odd item")', 'reward/failed', /Items 0 to 1: .*odd item/],
    ['short of scores', 'return [1]', 'reward/count', /1 scores for 2 items/],
    ['giving NaN', 'return [1, 0 / 0]', 'reward/not-finite', /Item 1: .*NaN/],
    ['giving text', 'return [1, "2"]', 'reward/not-finite', /Item 1/],
    ['giving nothing', 'return', 'reward/failed', /no list of numbers/],
    ['asynchronous', 'return Promise.resolve([1, 2])', 'reward/failed', /promise/],
    ['throwing a trap', 'throw { get stack() { throw this } }', 'reward/failed', /cannot be shown/],
  ];
  test('wrong in any way is a named error, and scores on afterwards', async () => {
    const reward = await start(
      body(
        `switch (items[0].sequence) { ${FAULTS.map(([name, code]) => `case '${name}': ${code};`).join(' ')} } return [1];`,
      ),
    );
    for (const [name, , code, message] of FAULTS) {
      await expect(reward.score(items(name, 'C'))).rejects.toMatchObject({
        code,
        message: expect.stringMatching(message),
      });
      expect(Array.from(await reward.score(items('OK')))).toEqual([1]);
    }
  });
});

describe('the sandbox', () => {
  const attempts = [
    'process.cwd()',
    'require("node:fs").readFileSync("/etc/hostname")',
    'fetch("http://127.0.0.1")',
    'new Worker("x")',
    'globalThis.constructor.constructor("return process")().cwd()',
    'items.constructor.constructor("return process")().cwd()',
    'items[0].constructor.constructor("return this")().process.cwd()',
    'eval("1 + 1").process.cwd()',
    'new Function("return process")().cwd()',
    '(() => { const e = new Error(); Error.prepareStackTrace = (_, frames) => frames; return e.stack[1].getThis().process.cwd(); })()',
    'new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]))',
    'setTimeout(() => {}, 1)',
  ];
  test('gives no way to files, processes, the network, or code from strings', async () => {
    const reward = await start(
      body(
        `return items.map((item) => { switch (item.sequence) { ${attempts
          .map((code, i) => `case '${i}': try { ${code}; return 1 } catch (e) { return 0 }`)
          .join('; ')} } return 2; });`,
      ),
    );
    expect(Array.from(await reward.score(items(...attempts.map((_, i) => String(i)), 'x')))).toEqual([
      ...attempts.map(() => 0),
      2,
    ]);
  });

  test('loads nothing later: no file is read and no connection is made by an import', async () => {
    let connections = 0;
    const server = createServer((socket) => {
      connections++;
      socket.destroy();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    try {
      const reward = await start(`
        const seen = { fs: 'waiting', net: 'waiting' };
        const escape = (e) => e.constructor.constructor('return process')();
        import('node:fs').then((fs) => { seen.fs = 'read'; }, (e) => { seen.fs = 'refused'; try { escape(e); seen.fs = 'escaped'; } catch {} });
        import('node:net').then((net) => { net.connect(${port}, '127.0.0.1'); seen.net = 'connected'; }, () => { seen.net = 'refused'; });
        export default (items) => items.map(() => Number(seen.fs === 'refused') + Number(seen.net === 'refused'));`);
      expect(Array.from(await reward.score(items('A')))).toEqual([2]);
      expect(connections).toBe(0);
    } finally {
      server.close();
    }
  });

  test('stops a loop without end at its time limit, in scoring and in loading, and starts again', async () => {
    const reward = await start(body(`if (items[0].sequence === 'LOOP') for (;;); return items.map(() => 5);`), {
      timeoutMs: 3000,
    });
    await expect(reward.score(items('LOOP'))).rejects.toMatchObject({
      code: 'reward/timeout',
      message: expect.stringMatching(/Item 0: The module .*score-\d+\.js took longer than 3 s/),
    });
    expect(Array.from(await reward.score(items('A')))).toEqual([5]);
    await expect(start(`for (;;); ${body('return []')}`, { timeoutMs: 1000 })).rejects.toMatchObject({
      code: 'reward/timeout',
    });
  });

  const FOUR_GB = [
    ['a heap of objects', 'const all = []; for (;;) all.push(new Array(1e4).fill({}).map((_, i) => ({ i })));'],
    [
      'buffers',
      'const all = []; for (let i = 0; i < 64; i++) all.push(new Uint8Array(2 ** 26).fill(i + 1)); return all.length;',
    ],
    ['one buffer', 'return [new Uint8Array(4e9).fill(1)[5]];'],
  ];
  test.each(FOUR_GB)(
    'stops 4 GB of memory in %s, by its name',
    async (_, code) => {
      const reward = await start(body(code), { memoryBytes: 256 * 2 ** 20 });
      await expect(reward.score(items('A'))).rejects.toMatchObject({
        code: 'reward/memory',
        message: expect.stringMatching(/Item 0: The module .*score-\d+\.js used more than 256 MB/),
      });
    },
    30_000,
  );
});
