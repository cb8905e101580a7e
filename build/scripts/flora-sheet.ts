import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { writeFileAtomic } from '#models/files.ts';
import { contactSheet, resizeRgb } from '#pipelines/images/images.ts';
import { heldOutPrompts } from '#pipelines/recipes/flora/dataset.ts';
import { generatePictures } from '#pipelines/sampling/generate.ts';
import { loadPipeline } from '#pipelines/sampling/pipeline.ts';

/** Draws the contact sheet of the README: 40 pictures of the bundled model for held-out captions. */

const root = resolve(import.meta.dirname, '../..');
const COUNT = 40;
const COLUMNS = 10;
const ENLARGE = 1.5;

const pipeline = await loadPipeline(join(root, 'models/bundled/flora'));
const images: { rgb: Uint8Array; width: number; height: number }[] = [];
const stream = generatePictures({
  pipeline,
  settings: {
    scheduler: 'ddim',
    steps: 30,
    eta: 0,
    guidanceScale: 3,
    negativePrompt: '',
    seed: 9,
    keepTrajectories: false,
  },
  requests: heldOutPrompts(COUNT, 7).map(({ prompt }, index) => ({ prompt, index, noiseIndex: index })),
});
for await (const p of stream) {
  const [width, height] = [p.width * ENLARGE, p.height * ENLARGE];
  images.push({ rgb: await resizeRgb(p.rgb, p.width, p.height, width, height, 'cubic'), width, height });
}
await pipeline.close();
mkdirSync(join(root, 'docs/images'), { recursive: true });
writeFileAtomic(join(root, 'docs/images/flora.png'), await contactSheet(images, COLUMNS));
