import { fc, test } from '@fast-check/vitest';
import { describe, expect } from 'vitest';
import { z } from 'zod';
import { type Command, defineCommand } from '#pipelines/cli/command.ts';
import { flagsOf, kebab, parseCommandLine, parseSettings } from '#pipelines/cli/flags.ts';
import { commandHelp } from '#pipelines/cli/help.ts';

const settings = z.object({
  beta: z.number().positive().default(0.1).describe('strength of the pull to the base model'),
  rank: z.int().min(1).max(64).default(4),
  shuffle: z.boolean().default(true),
});

const command = defineCommand({
  name: 'demo',
  summary: 'shows how options work',
  options: z.object({
    file: z.string().min(1).describe('what to read'),
    others: z.array(z.string()).default([]),
    guidanceScale: z.number().min(0).max(30).default(3).describe('how strongly prompts count'),
    count: z.int().min(1).default(4),
    mode: z.enum(['fast', 'exact']).default('fast'),
    dry: z.boolean().default(false),
    tidy: z.boolean().default(true),
    reward: z.array(z.string()).default([]),
  }),
  positionals: ['file', 'others'],
  settings: async () => settings,
  run: async (options) => options,
}) as Command;

const parse = async (...args: string[]) => (await parseCommandLine(command, args)).options;

describe('flags', () => {
  test('come from the schema: kebab-case names, types, ranges, choices, defaults', () => {
    const byKey = new Map(flagsOf(command.options).map((flag) => [flag.key, flag]));
    expect(byKey.get('guidanceScale')).toMatchObject({
      flag: 'guidance-scale',
      type: 'number',
      minimum: 0,
      maximum: 30,
      default: 3,
    });
    expect(byKey.get('count')).toMatchObject({ type: 'integer', minimum: 1, maximum: undefined });
    expect(byKey.get('mode')).toMatchObject({ choices: ['fast', 'exact'] });
    expect(byKey.get('reward')).toMatchObject({ many: true });
    expect(byKey.get('file')).toMatchObject({ required: true });
  });

  test('parse to typed values with defaults filled in', async () => {
    expect(
      await parse(
        'a.onnx',
        'b',
        'c',
        '--guidance-scale',
        '7.5',
        '--reward=x:k=1@0.5',
        '--reward',
        'y',
        '--no-tidy',
        '--dry',
      ),
    ).toEqual({
      file: 'a.onnx',
      others: ['b', 'c'],
      guidanceScale: 7.5,
      count: 4,
      mode: 'fast',
      dry: true,
      tidy: false,
      reward: ['x:k=1@0.5', 'y'],
      json: false,
      provider: 'auto',
      seed: 0,
      set: { beta: 0.1, rank: 4, shuffle: true },
    });
  });

  test.prop([fc.double({ min: 0, max: 30, noNaN: true }), fc.integer({ min: 1, max: 1e6 })])(
    'give back every number in range exactly',
    async (scale, count) => {
      const options = await parse('f', `--guidance-scale=${scale}`, '--count', String(count));
      expect(options.guidanceScale).toBe(scale === 0 ? 0 : scale);
      expect(options.count).toBe(count);
    },
  );

  test('a negative number is a value, not a flag', async () => {
    await expect(parse('f', '--guidance-scale', '-1')).rejects.toThrow(/--guidance-scale: .*given: -1/);
  });

  test('after -- everything is positional', async () => {
    expect((await parse('f', '--', '--count')).others).toEqual(['--count']);
  });
});

describe('bad input is refused in words that name the flag', () => {
  test.each([
    [['f', '--cuont', '3'], /no option --cuont in "demo"/, 'Did you mean --count?'],
    [['f', '--count', 'three'], /--count needs a number, not "three"/, ''],
    [['f', '--count', '1.5'], /--count: .*given: 1.5/, ''],
    [['f', '--count'], /--count needs a value/, ''],
    [['f', '--count', '--dry'], /--count needs a value/, 'write --count=--dry'],
    [['f', '--count', '1', '--count', '2'], /--count is given twice/, ''],
    [['f', '--mode', 'slow'], /--mode: .*"fast".*"exact".*given: "slow"/, ''],
    [['f', '--dry=perhaps'], /--dry is true or false/, ''],
    [['f', '--set', 'beta'], /--set takes key=value/, ''],
    [['f', '--set', 'bata=1'], /no setting "bata"/, 'Did you mean beta?'],
    [['f', '--set', 'rank=100'], /--set rank: .*given: 100/, ''],
    [[], /FILE is missing/, ''],
    [['f', '--threads', '0'], /--threads: .*given: 0/, ''],
  ])('%j', async (args, message, hint) => {
    const error = await parse(...args).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'usage', message: expect.stringMatching(message) });
    expect((error as { hint: string }).hint).toContain(hint);
  });

  test('a command without settings refuses --set', async () => {
    const { settings: _, ...rest } = command;
    await expect(parseCommandLine(rest, ['f', '--set', 'a=1'])).rejects.toThrow(/nothing to --set/);
  });

  test('a single-valued positional refuses more', async () => {
    const one = { ...command, positionals: ['file'] } as Command;
    await expect(parseCommandLine(one, ['a', 'b'])).rejects.toThrow(/"b" is more than "demo" takes/);
  });
});

test('settings are typed by their schema', () => {
  expect(parseSettings(['beta=0.5', 'shuffle=false'], settings)).toEqual({ beta: 0.5, rank: 4, shuffle: false });
});

test('--help lists every option and setting with its range, default and description, even with bad input beside it', async () => {
  const { help, options } = await parseCommandLine(command, ['--help', '--count', 'x']);
  expect(help).toBe(true);
  const text = await commandHelp(command, options);
  for (const flag of flagsOf(command.options).filter((f) => !['file', 'others'].includes(f.key))) {
    expect(text).toContain(flag.flag);
  }
  expect(text).toMatch(/--guidance-scale N +how strongly prompts count \(0…30; default 3\)/);
  expect(text).toMatch(/--no-tidy/);
  expect(text).toMatch(/beta +strength of the pull to the base model \(.*default 0.1\)/);
  expect(text).toContain('demo FILE [OTHERS…]');
});

test('camelCase becomes kebab-case', () => {
  expect(kebab('saveTensors')).toBe('save-tensors');
});
