import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sha256File } from '#models/files.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';
import { writeTinyMaskedModel } from '#test/support/tiny-sequence-model.ts';
import { runCli } from './run-cli.ts';

/** Programs and scripts that go wrong while work is under way: the work up to there is kept, and what failed has a name. */

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'northlight-strange-'));
  writeTinyMaskedModel(join(folder, 'dna'), { length: 24 });
  writeTinyModel(join(folder, 'drawn'));
  file('items.fasta', '>first\nAAAA\n>bad\nTTTT\n>last\nGGGG\n');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string, content: string) => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};

/** A program that answers every request by the lengths of its items, after `first` has seen them. */
const program = (name: string, first: string) =>
  `command:'${process.execPath}' '${file(
    name,
    `require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
       const { id, items } = JSON.parse(line);
       ${first}
       console.log(JSON.stringify({ id, scores: items.map((s) => s.length ?? 1) }));
     });`,
  )}'`;
const module = (name: string, first: string) =>
  `module:${file(name, `export default function score(items) { ${first}; return items.map((i) => i.sequence.length); }`)}`;

const MEMORY = 'const all = []; for (let i = 0; i < 64; i++) all.push(new Uint8Array(2 ** 26).fill(i + 1));';

describe('score', () => {
  test.each([
    [
      'a program that crashes',
      () => program('crash.cjs', "if (items.includes('TTTT')) { console.error('core'); process.exit(3); }"),
      'reward/crashed',
      /exit code 3[\s\S]*core/,
    ],
    [
      'a program that says why not',
      () =>
        program('refuse.cjs', "if (items.includes('TTTT')) return console.log(JSON.stringify({ id, error: 'odd' }));"),
      'reward/failed',
      /odd/,
    ],
    [
      'a module that reads a file',
      () =>
        module(
          'files.js',
          "if (items.some((i) => i.sequence === 'TTTT')) process.getBuiltinModule('fs').readFileSync('/etc/hostname')",
        ),
      'reward/failed',
      /process is not defined/,
    ],
    [
      'a module that opens a socket',
      () => module('net.js', "if (items.some((i) => i.sequence === 'TTTT')) new WebSocket('ws://127.0.0.1:9')"),
      'reward/failed',
      /WebSocket is not defined/,
    ],
    [
      'a module that takes 4 GB',
      () => module('memory.js', `if (items.some((i) => i.sequence === 'TTTT')) { ${MEMORY} }`),
      'reward/memory',
      /memory\.js used more than 512 MB/,
    ],
  ])(
    'names the item on which %s, and scores the others',
    async (_, spec, code, message) => {
      const run = await runCli('score', join(folder, 'items.fasta'), '--json', '--reward', spec());
      expect(run.code).toBe(1);
      const { items, failures } = run.result() as {
        items: { id: string; scores: Record<string, number> }[];
        failures: { id: string; code: string; message: string }[];
      };
      expect(items.map(({ id, scores }) => [id, Object.values(scores)])).toEqual([
        ['first', [4]],
        ['bad', []],
        ['last', [4]],
      ]);
      expect(failures).toMatchObject([{ id: 'bad', code, message: expect.stringMatching(message) }]);
    },
    60_000,
  );

  test('a module that imports what reads files or opens sockets is refused by that name before anything runs', async () => {
    for (const name of ['node:fs', 'node:net']) {
      const spec = `module:${file('import.js', `import x from '${name}'; export default (items) => items.map(() => 1);`)}`;
      const run = await runCli('score', join(folder, 'items.fasta'), '--reward', spec);
      expect([run.code, run.out]).toEqual([2, '']);
      expect(run.err).toContain(`imports "${name}"`);
    }
  });
});

describe('sample keeps what was finished', () => {
  const manifestOf = (out: string) =>
    JSON.parse(readFileSync(join(folder, out, 'manifest.json'), 'utf8')) as Record<string, unknown> & {
      files: { file: string; sha256: string }[];
      sequences: unknown[];
    };
  const count = (text: string) => text.split('\n').filter((line) => line.startsWith('>')).length;
  const sample = (out: string, ...rest: string[]) =>
    runCli(
      'sample',
      '--model',
      join(folder, 'dna'),
      '--class',
      'K562',
      '--steps',
      '4',
      '--batch',
      '2',
      '--out',
      join(folder, out),
      ...rest,
    );

  test.each([
    [
      'a program that crashes',
      () => program('late.cjs', 'if ((globalThis.calls = (globalThis.calls ?? 0) + 1) > 2) process.exit(9);'),
      /exit code 9/,
    ],
    [
      'a module that takes 4 GB',
      () => module('late.js', `globalThis.calls = (globalThis.calls ?? 0) + 1; if (calls > 2) { ${MEMORY} }`),
      /more than 512 MB/,
    ],
  ])(
    'where %s steers it',
    async (name, spec, message) => {
      const out = `steered-${name.length}`;
      // Two samples at once, their rewards in one call: the third pair is never finished.
      const run = await sample(out, '--count', '8', '--decode', 'best-of-n', '--candidates', '2', '--reward', spec());
      expect(run.code).toBe(1);
      expect(run.err).toMatch(message);
      expect(run.err).toContain(`The 4 finished sequences are kept in ${join(folder, out)}`);
      const fasta = readFileSync(join(folder, out, 'samples.fasta'), 'utf8');
      expect(count(fasta)).toBe(4);
      expect(fasta.match(/reward=24/g)).toHaveLength(4);
      expect(manifestOf(out)).toMatchObject({ asked: 8, error: { code: expect.stringMatching(/^reward\//) } });
      expect(manifestOf(out).sequences).toHaveLength(4);
    },
    60_000,
  );

  const draw = (out: string, ...rest: string[]) => {
    const how = ['--model', join(folder, 'drawn'), '--prompt', 'a red tulip', '--steps', '2', '--batch', '1'];
    return runCli('sample', ...how, '--out', join(folder, out), ...rest);
  };

  test('of pictures where a program dies that steers them', async () => {
    const spec = program('dies.cjs', 'if ((globalThis.calls = (globalThis.calls ?? 0) + 1) > 2) process.exit(9);');
    const run = await draw('pictures', '--count', '4', '--decode', 'best-of-n', '--candidates', '2', '--reward', spec);
    expect(run.code).toBe(1);
    expect(run.err).toMatch(/exit code 9/);
    expect(run.err).toContain(`The 2 finished pictures are kept in ${join(folder, 'pictures')}`);
    const { files, ...manifest } = manifestOf('pictures');
    expect(manifest).toMatchObject({ asked: 4, error: { code: 'reward/crashed' }, rewards: [spec] });
    expect(files.map(({ file }) => file)).toEqual(['0000.png', '0001.png']);
    for (const { file, sha256 } of files) expect(sha256File(join(folder, 'pictures', file))).toBe(sha256);
  });

  test('of pictures where only their scores fail', async () => {
    const run = await draw('judged', '--count', '2', '--reward', program('mute.cjs', 'process.exit(7);'));
    expect(run.code).toBe(1);
    expect(run.err).toMatch(/exit code 7.*The 2 finished pictures are kept/);
    const manifest = manifestOf('judged');
    expect(manifest.files).toHaveLength(2);
    expect(manifest).toMatchObject({ error: { code: 'reward/crashed' } });
    expect(manifest).not.toHaveProperty('asked');
  });

  test('where only their scores fail, without any', async () => {
    const run = await sample('scored', '--count', '4', '--reward', program('never.cjs', 'process.exit(7);'));
    expect(run.code).toBe(1);
    expect(run.err).toMatch(/exit code 7.*The 4 finished sequences are kept/);
    const fasta = readFileSync(join(folder, 'scored', 'samples.fasta'), 'utf8');
    expect(count(fasta)).toBe(4);
    expect(fasta).not.toContain('reward=');
  });
});
