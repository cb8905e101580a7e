import { join, resolve } from 'node:path';
import { heldOutPrompts } from '#pipelines/recipes/flora/dataset.ts';
import { readAttributes } from '#pipelines/rewards/prompt-agreement.ts';
import type { ImageItem } from '#pipelines/rewards/types.ts';
import { generatePictures } from '#pipelines/sampling/generate.ts';
import { loadPipeline } from '#pipelines/sampling/pipeline.ts';

const PROMPTS = 200;
const STEPS = 30;
const GUIDANCE = 3;

/**
 * The bundled model: seconds for 16 pictures at 30 DDIM steps with guidance, and the share of requested attributes that the
 * independent judge recognises over 200 captions of combinations that neither model was trained on.
 */
export async function measure(
  options: { model?: string; prompts?: number; guidance?: number } = {},
): Promise<Record<string, unknown>> {
  const folder = options.model ?? resolve(import.meta.dirname, '../..', join('models', 'bundled', 'flora'));
  const prompts = heldOutPrompts(options.prompts ?? PROMPTS, 7).map((p) => p.prompt);
  const started = performance.now();
  const pipeline = await loadPipeline(folder);
  try {
    const items: ImageItem[] = [];
    let sixteen = Number.NaN;
    const stream = generatePictures({
      pipeline,
      settings: {
        scheduler: 'ddim',
        steps: STEPS,
        eta: 0,
        guidanceScale: options.guidance ?? GUIDANCE,
        negativePrompt: '',
        seed: 9,
        keepTrajectories: false,
      },
      requests: prompts.map((prompt, index) => ({ prompt, index, noiseIndex: index })),
    });
    for await (const p of stream) {
      items.push({ kind: 'image', rgb: p.rgb, width: p.width, height: p.height, prompt: p.prompt });
      if (items.length === 16) sixteen = (performance.now() - started) / 1000;
    }
    const counts = new Map<string, { right: number; asked: number }>();
    for (const reading of await readAttributes(items)) {
      for (const [name, value] of Object.entries(reading.requested)) {
        const c = counts.get(name) ?? { right: 0, asked: 0 };
        c.asked++;
        if ((reading.recognised as Record<string, string | null>)[name] === value) c.right++;
        counts.set(name, c);
      }
    }
    const total = [...counts.values()].reduce((s, c) => ({ right: s.right + c.right, asked: s.asked + c.asked }), {
      right: 0,
      asked: 0,
    });
    return {
      secondsFor16: sixteen,
      prompts: prompts.length,
      guidance: options.guidance ?? GUIDANCE,
      agreement: total.right / total.asked,
      byAttribute: Object.fromEntries([...counts].map(([name, c]) => [name, c.right / c.asked])),
    };
  } finally {
    await pipeline.close();
  }
}
