import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createCommandReward, splitCommand } from '#pipelines/rewards/command.ts';
import type { Reward, RewardItem } from '#pipelines/rewards/types.ts';
import { picture } from './pictures.ts';

let folder = '';
const open: Reward[] = [];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'northlight-command-'));
});
afterEach(async () => {
  for (const reward of open.splice(0)) await reward.close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const items = (...list: string[]): RewardItem[] => list.map((sequence) => ({ kind: 'sequence', sequence }));
const script = (name: string, text: string) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return `'${path}'`;
};
const start = async (command: string, options?: Parameters<typeof createCommandReward>[1]) => {
  const reward = await createCommandReward(command, options);
  open.push(reward);
  return reward;
};
/** A Node program that answers each line by the expression `reply` of the parsed `request`. */
const program = (name: string, reply: string) =>
  `'${process.execPath}' ${script(
    name,
    `const { createInterface } = require('node:readline');
     let starts = 0;
     createInterface({ input: process.stdin }).on('line', (line) => {
       const request = JSON.parse(line);
       const answer = ${reply};
       console.log(typeof answer === 'string' ? answer : JSON.stringify(answer));
     });`,
  )}`;
const failure = (code: string, message: RegExp) => ({ code, message: expect.stringMatching(message) });
const gone = (pid: number) => {
  try {
    process.kill(pid, 0);
    // A zombie that nobody has waited for yet runs no more.
    return process.platform === 'linux' && /\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return true;
  }
};

describe('a command line', () => {
  test('is split as a shell would, with nothing expanded', () => {
    expect(splitCommand(`python3 "my script.py" --a='b c' d\\ e "q\\"q" $HOME *`)).toEqual([
      'python3',
      'my script.py',
      '--a=b c',
      'd e',
      'q"q',
      '$HOME',
      '*',
    ]);
    expect(splitCommand('  ')).toEqual([]);
  });
});

describe('a program that answers', () => {
  test('scores sequences in order over several batches, started once', async () => {
    const reward = await start(
      program('ok.cjs', '{ id: request.id, scores: request.items.map((s) => s.length + request.id / 100) }'),
      { batch: 2 },
    );
    const scores = await reward.score(items('A', 'AC', 'ACG', 'ACGT', 'A'));
    expect(Array.from(scores, (v) => v.toFixed(2))).toEqual(['1.01', '2.01', '3.02', '4.02', '1.03']);
    expect((await reward.score(items('AA')))[0]).toBeCloseTo(2.04, 6);
  });

  test('may be a shell script', async () => {
    const path = script('score.sh', 'while read -r line; do echo "{\\"id\\":1,\\"scores\\":[4.5,-1e3]}"; done\n');
    const reward = await start(`sh ${path}`);
    expect(Array.from(await reward.score(items('A', 'C')))).toEqual([4.5, -1000]);
  });

  test('reads pictures from files that are gone after closing', async () => {
    const reward = await start(
      program(
        'pictures.cjs',
        `(() => { const bytes = require('node:fs').readFileSync(request.items[0].path);
           require('node:fs').writeFileSync(${JSON.stringify(join(folder, 'path.txt'))}, request.items[0].path);
           return { id: request.id, scores: [bytes.readUInt32BE(16) + request.items[0].prompt.length] }; })()`,
      ),
    );
    const image = { ...picture(12, 8, () => [1, 2, 3]), prompt: 'abc' };
    expect((await reward.score([image]))[0]).toBe(12 + 3);
    const path = readFileSync(join(folder, 'path.txt'), 'utf8');
    expect(existsSync(path)).toBe(true);
    await reward.close();
    expect(existsSync(path)).toBe(false);
  });
});

describe('a program that fails', () => {
  test('and does not exist is named at once', async () => {
    await expect(start('no-such-program-here')).rejects.toMatchObject(failure('reward/not-found', /no-such-program/));
    await expect(start('')).rejects.toMatchObject({ code: 'reward/option' });
  });

  test('by a crash is quoted with its last words and the items, and started again for the next call', async () => {
    const reward = await start(
      program(
        'crash.cjs',
        `request.items.includes('BAD') ? (console.error('cannot fold BAD'), process.exit(3)) : { id: request.id, scores: request.items.map(() => 1) }`,
      ),
      { batch: 1 },
    );
    await expect(reward.score(items('A', 'BAD'))).rejects.toMatchObject(
      failure('reward/crashed', /Item 1: .*exit code 3[\s\S]*cannot fold BAD/),
    );
    expect(Array.from(await reward.score(items('A', 'A')))).toEqual([1, 1]);
  });

  test('by silence is stopped at the time limit', async () => {
    const reward = await start('sleep 60', { timeoutMs: 150 });
    const began = performance.now();
    await expect(reward.score(items('A', 'C'))).rejects.toMatchObject(
      failure('reward/timeout', /Items 0 to 1: .*within 0.15 s/),
    );
    expect(performance.now() - began).toBeLessThan(10_000);
  });

  test.each([
    ['text that is no JSON', `'hello'`, 'reward/reply', /Items 0 to 1: .*hello/],
    ['the scores of another request', `({ id: 99, scores: [1, 2] })`, 'reward/reply', /request 1/],
    ['too few scores', `({ id: request.id, scores: [1] })`, 'reward/count', /1 scores for 2 items/],
    ['null for a score', `({ id: request.id, scores: [1, null] })`, 'reward/not-finite', /Item 1: .*null/],
    ['a number beyond float32', `({ id: request.id, scores: [1e300, 1] })`, 'reward/not-finite', /Item 0: .*1e\+300/],
    ['an error of its own', `({ id: request.id, error: 'no licence' })`, 'reward/failed', /says: no licence/],
    ['an error of an item', `({ id: request.id, error: 'odd', item: 1 })`, 'reward/failed', /Item 1: .*odd/],
  ])('by %s is a named error', async (name, reply, code, message) => {
    const reward = await start(program(`${name.replaceAll(' ', '-')}.cjs`, reply));
    await expect(reward.score(items('A', 'C'))).rejects.toMatchObject(failure(code, message));
  });

  test('by talking before it is asked is told where to talk', async () => {
    const path = script('banner.sh', 'echo "Loading model"; while read -r line; do echo "{}"; done\n');
    const reward = await start(`sh ${path}`);
    const code = await reward.score(items('A')).then(
      () => 'none',
      (error) => error.code,
    );
    expect(code).toBe('reward/reply');
  });
});

test.runIf(process.platform !== 'win32')(
  'closing ends what the program started, however it ignores requests',
  async () => {
    const pids = join(folder, 'pids.txt');
    const path = script(
      'family.sh',
      `trap '' TERM INT HUP\nsleep 300 &\necho "$$ $!" > '${pids}'\nwhile read -r line; do echo '{"id":1,"scores":[1]}'; done\nwait\n`,
    );
    const reward = await start(`sh ${path}`);
    await reward.score(items('A'));
    const [parent, child] = readFileSync(pids, 'utf8').trim().split(' ').map(Number) as [number, number];
    expect([gone(parent), gone(child)]).toEqual([false, false]);
    await reward.close();
    expect([gone(parent), gone(child)]).toEqual([true, true]);
  },
);

const python = (() => {
  try {
    execFileSync('python3', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

test.runIf(python)('a Python script is a reward', async () => {
  const path = script(
    'reward.py',
    'import json, sys\nfor line in sys.stdin:\n    r = json.loads(line)\n    print(json.dumps({"id": r["id"], "scores": [s.count("G") for s in r["items"]]}), flush=True)\n',
  );
  const reward = await start(`python3 ${path}`);
  expect(Array.from(await reward.score(items('GATG', 'A')))).toEqual([2, 0]);
});
