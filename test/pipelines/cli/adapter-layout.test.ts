import { describe, expect, test } from 'vitest';
import { adapterLayout } from '#pipelines/cli/adapter-layout.ts';

const layer = 'unet.down_blocks.0.attentions.0.to_q';

describe('the layout of an adapter file', () => {
  test.each([
    ['peft', `${layer}.lora_A.weight`, `${layer}.lora_B.weight`],
    ['diffusers', `${layer}.lora.down.weight`, `${layer}.lora.up.weight`],
    ['kohya', 'lora_unet_down_blocks_0_to_q.lora_down.weight', 'lora_unet_down_blocks_0_to_q.lora_up.weight'],
  ])('%s naming is recognised, with rank and sizes', (naming, down, up) => {
    const layout = adapterLayout(
      new Map([
        [down, [4, 320]],
        [up, [640, 4]],
      ]),
    );
    expect(layout).toMatchObject({ naming, ranks: [4], incomplete: [], unknown: [] });
    expect(layout.targets).toEqual([
      { name: down.replace(/\.lora(_A|_down|\.down)\.weight$/, ''), rank: 4, inFeatures: 320, outFeatures: 640 },
    ]);
  });

  test('convolutions count their window into the inputs', () => {
    const layout = adapterLayout(
      new Map([
        ['c.lora_A.weight', [8, 16, 3, 3]],
        ['c.lora_B.weight', [32, 8, 1, 1]],
      ]),
    );
    expect(layout.targets[0]).toMatchObject({ rank: 8, inFeatures: 144, outFeatures: 32 });
  });

  test('a missing half, ranks that disagree, and strangers are told apart; alpha is neither', () => {
    const layout = adapterLayout(
      new Map<string, number[]>([
        ['a.lora_A.weight', [4, 8]],
        ['b.lora_A.weight', [4, 8]],
        ['b.lora_B.weight', [8, 2]],
        ['c.alpha', []],
        ['d.weight', [3]],
      ]),
    );
    expect(layout).toMatchObject({ incomplete: ['a', 'b'], unknown: ['d.weight'], targets: [] });
  });
});
