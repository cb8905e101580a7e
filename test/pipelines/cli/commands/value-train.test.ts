import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCli } from '#test/pipelines/cli/run-cli.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';
import { writeTinyMaskedModel } from '#test/support/tiny-sequence-model.ts';

const root = mkdtempSync(join(tmpdir(), 'northlight-value-train-'));
const at = (...parts: string[]) => join(root, ...parts);
afterAll(() => rmSync(root, { recursive: true }));
beforeAll(() => {
  writeTinyMaskedModel(at('dna'), { length: 20 });
  writeTinyModel(at('pixels'));
});

interface Trained {
  readonly samples: number;
  readonly made: number;
  readonly denoiserCalls: number;
  readonly alpha: number;
  readonly correlation: readonly number[];
  readonly choice: readonly number[];
}
const what = ['--class', 'K562', '--steps', '8', '--seed', '3'];
const train = async (out: string, ...rest: string[]) => {
  const done = await runCli('value', 'train', '--model', at('dna'), ...what, '--out', at(out), '--json', ...rest);
  return { ...done, value: done.code === 0 ? (done.result() as unknown as Trained) : null };
};
const quick = ['--set', 'updates=40', '--set', 'hidden=12'];

describe('values of sequences by GC content', () => {
  test('are learned from plain samples, agree with rewards that were not learned from, and steer', async () => {
    const { value } = await train('gc', '--reward', 'gc', '--count', '48', '--set', 'updates=200');
    expect(value).toMatchObject({ samples: 48, made: 48 });
    const [early, , late] = value!.correlation as [number, number, number];
    expect(late).toBeGreaterThan(0.5);
    expect(late).toBeGreaterThan(early);
    // Letters are counted: it chooses much as scoring what they would become does.
    expect(value!.choice[2]).toBeGreaterThan(0.5);
    const sample = async (out: string, ...rest: string[]) => {
      const args = [
        '--model',
        at('dna'),
        ...what,
        '--count',
        '12',
        '--reward',
        'gc',
        '--out',
        at(out),
        '--json',
        ...rest,
      ];
      return (await runCli('sample', ...args)).result() as { denoiserCalls: number; rewards: { mean: number } };
    };
    const plain = await sample('plain');
    const steered = await sample(
      'mc',
      '--decode',
      'svdd-mc',
      '--candidates',
      '8',
      '--set',
      'select=argmax',
      '--set',
      `value=${at('gc')}`,
    );
    expect(steered.rewards.mean).toBeGreaterThan(plain.rewards.mean + 0.05);
    // Nine steps, and none where nothing changed.
    expect(steered.denoiserCalls).toBeLessThanOrEqual(12 * 9);
  });

  test('go on from the samples that are there, to the same network as without a stop', async () => {
    await train('parts', '--reward', 'gc', '--count', '8', ...quick);
    const more = await train('parts', '--reward', 'gc', '--count', '24', ...quick);
    expect(more.value).toMatchObject({ samples: 24, made: 16 });
    await train('whole', '--reward', 'gc', '--count', '24', ...quick);
    for (const file of ['value.onnx', 'value.json']) {
      expect(readFileSync(at('parts', file))).toEqual(readFileSync(at('whole', file)));
    }
    expect(readdirSync(at('parts', 'states'))).toHaveLength(3);
  });

  test('do not steer by another reward or another model, and their samples are not mixed with others', async () => {
    const mc = ['--decode', 'svdd-mc', '--set', `value=${at('gc')}`, '--out', at('no')];
    const other = await runCli('sample', '--model', at('dna'), ...what, '--reward', 'cpg', ...mc);
    expect(other.err).toContain('was trained for the reward "gc", not for "cpg"');
    const pictures = await runCli('sample', '--model', at('pixels'), '--reward', 'gc', '--steps', '4', ...mc);
    expect(pictures.err).toContain('was trained for another model');
    const mixed = await train('gc', '--reward', 'cpg', '--count', '8');
    expect(mixed.code).not.toBe(0);
    expect(mixed.err).toContain('holds states of another model, reward or setting');
  });
});

/** Four steps, three of them with three more candidates to ask about, and each call with its guidance twin. */
const CALLS = 2 * (4 + 3 * 3);

test('values of pictures are learned from pictures of a prompt', async () => {
  const args = ['--model', at('pixels'), '--prompt', 'red', '--steps', '4', '--reward', 'brightness', '--count', '20'];
  const done = await runCli('value', 'train', ...args, '--out', at('light'), '--json', ...quick);
  expect(done.err).toBe('');
  expect(done.result()).toMatchObject({ samples: 20, made: 20, denoiserCalls: 20 * CALLS });
  expect(JSON.parse(readFileSync(at('light', 'value.json'), 'utf8'))).toMatchObject({
    dims: [6, 8, 8],
    reward: 'brightness',
  });
});
