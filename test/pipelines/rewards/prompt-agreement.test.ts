import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createReward } from '#pipelines/rewards/index.ts';
import { readAttributes, requestedAttributes } from '#pipelines/rewards/prompt-agreement.ts';
import type { ImageItem, RewardItem } from '#pipelines/rewards/types.ts';
import { picture } from './pictures.ts';

let root = '';
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'agreement-'));
});
afterAll(() => rmSync(root, { recursive: true }));

const LAYOUT = {
  species: ['daisy', 'tulip', 'poppy'],
  petalCount: ['four', 'six', 'not applicable'],
  background: ['cream', 'sky', 'navy'],
};

/** A judge of 2 × 2 pictures whose answer to every attribute is the first value for red, the second for green, … */
function channelJudge(name: string, manifest: object | null): string {
  const folder = join(root, name);
  mkdirSync(folder);
  const op = createBuilder();
  const mean = op.reduceMean(op.input('image', 'float32', [1, 3, 2, 2]), [2, 3], false);
  op.output(op.concat([mean, mean, mean], 1), 'logits');
  const path = join(folder, 'judge.onnx');
  writeModel(
    op.toModel('channel-judge', (v) => ['batch', ...v.dims.slice(1)]),
    path,
  );
  if (manifest) writeFileSync(join(folder, 'reward.json'), JSON.stringify(manifest));
  return path;
}

const flat = (rgb: readonly [number, number, number], prompt: string, size = 2): ImageItem => ({
  ...picture(size, size, () => rgb),
  prompt,
});
const RED = [255, 0, 0] as const;
const GREEN = [0, 255, 0] as const;
const BLUE = [0, 0, 255] as const;

describe('what a prompt asks for', () => {
  test('is every attribute that it names', () => {
    expect(requestedAttributes('a red daisy with six petals and two leaves in a vase')).toEqual({
      species: 'daisy',
      petalColour: 'red',
      petalCount: 'six',
      leaves: 'two leaves',
      setting: 'in a vase',
    });
  });

  test('leaves out petals and centre of a flower seen from the side', () => {
    expect(requestedAttributes('a blue tulip with six petals and a golden centre')).toEqual({
      species: 'tulip',
      petalColour: 'blue',
    });
    expect(requestedAttributes('six petals')).toEqual({ petalCount: 'six' });
  });

  test('is nothing where no word is known', () => {
    expect(requestedAttributes('a ship in a storm')).toEqual({});
  });
});

describe('the reward', () => {
  test('is the share of the requested attributes that are seen', async () => {
    const reward = await createReward(
      `prompt-agreement:model=${channelJudge('share', { attributes: LAYOUT, size: 2 })}`,
    );
    const scores = await reward.score([
      flat(RED, 'a daisy with four petals on a cream background'), // all of three
      flat(RED, 'a daisy with six petals on a navy background'), // the species
      flat(GREEN, 'a poppy with six petals'), // the petals
      flat(BLUE, 'a tulip with six petals'), // petals of a tulip do not count; it is not one either
      flat(BLUE, 'a poppy with six petals'), // a poppy, whose petals do not show
      flat(BLUE, 'a red poppy in a vase'), // this judge knows no colours and vases
    ]);
    expect(Array.from(scores)).toEqual([1, 1 / 3, 0.5, 0, 0.5, 1].map(Math.fround));
    await reward.close();
  });

  test('is the same for a picture alone, among others and enlarged', async () => {
    const path = channelJudge('batch', { attributes: LAYOUT, size: 2 });
    const reward = await createReward(`prompt-agreement:model=${path}`);
    const items = Array.from({ length: 70 }, (_, i) =>
      flat(
        [RED, GREEN, BLUE][i % 3]!,
        ['a daisy', 'six petals, navy background', 'sky background'][(i % 7) % 3]!,
        i % 2 ? 2 : 5,
      ),
    );
    const together = await reward.score(items);
    for (const i of [0, 1, 31, 32, 33, 69]) expect((await reward.score([items[i]!]))[0]).toBe(together[i]);
    await reward.close();
  });

  test('refuses a prompt that asks for nothing, unless its score is given', async () => {
    const path = channelJudge('open', { attributes: LAYOUT, size: 2 });
    const items = [flat(RED, 'a daisy'), flat(RED, 'a ship')];
    const strict = await createReward(`prompt-agreement:model=${path}`);
    await expect(strict.score(items)).rejects.toMatchObject({
      code: 'reward/nothing-asked',
      message: expect.stringContaining('item 1, "a ship"'),
    });
    // Only the colour is asked for, and this judge reads none.
    await expect(strict.score([flat(RED, 'red')])).rejects.toMatchObject({ code: 'reward/nothing-asked' });
    const open = await createReward(`prompt-agreement:model=${path},open=0.25`);
    expect(Array.from(await open.score(items))).toEqual([1, 0.25]);
    await strict.close();
    await open.close();
  });

  test('names a missing classifier, one that says nothing of its logits, one that says too much, and a sequence', async () => {
    await expect(createReward('prompt-agreement:model=/nowhere/judge.onnx')).rejects.toMatchObject({
      code: 'reward/missing',
    });
    await expect(createReward(`prompt-agreement:model=${channelJudge('silent', null)}`)).rejects.toMatchObject({
      code: 'reward/manifest',
    });
    await expect(
      createReward(`prompt-agreement:model=${channelJudge('wrong', { attributes: { smell: ['a', 'b'] } })}`),
    ).rejects.toMatchObject({ code: 'reward/manifest' });
    const path = channelJudge('wide', { attributes: { ...LAYOUT, setting: ['in a vase', 'on the ground'] }, size: 2 });
    const wide = await createReward(`prompt-agreement:model=${path}`);
    await expect(wide.score([flat(RED, 'a daisy')])).rejects.toMatchObject({ code: 'reward/output' });
    const sequence: RewardItem = { kind: 'sequence', sequence: 'ACGT' };
    await expect(wide.score([sequence])).rejects.toMatchObject({ code: 'reward/kind' });
    await wide.close();
    await expect(createReward('prompt-agreement:open=2')).rejects.toMatchObject({ code: 'reward/option' });
  });
});

describe('readings for a report', () => {
  test('say what was asked, what was seen and what agrees', async () => {
    const path = channelJudge('report', { attributes: LAYOUT, size: 2 });
    const [blue, bare] = await readAttributes([flat(BLUE, 'a poppy with six petals'), flat(GREEN, '')], {
      model: path,
    });
    expect(blue).toEqual({
      prompt: 'a poppy with six petals',
      requested: { species: 'poppy', petalCount: 'six' },
      recognised: { species: 'poppy', petalCount: null, background: 'navy' },
      agreed: ['species'],
      share: 0.5,
    });
    expect(bare).toMatchObject({ requested: {}, recognised: { species: 'tulip' }, share: null });
  });
});
