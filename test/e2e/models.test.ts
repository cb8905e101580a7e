import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readModel } from '#models/onnx/read.ts';
import { sd1Files, writeFolder } from '#test/models/families/tiny-folders.ts';
import { LONG, openSession } from './support/session.ts';

/** Adding models in a real browser. SCREENSHOTS=folder keeps pictures of what was seen. */

const session = openSession('models', { fullPage: true });
const { id, shoot, folder } = session;
const card = (name: string) => session.window.page.getByRole('article', { name, exact: true });

/** Stable Diffusion 1 in a few thousand weights, whose text encoder gives the states of its layers. */
const written = (name: string) =>
  writeFolder(join(folder, name), {
    ...sd1Files(),
    'text_encoder/model.onnx': readModel('test/golden/clip-skip/encoder-17.onnx'),
    'text_encoder/config.json': { max_position_embeddings: 12 },
  });

async function add(path: string): Promise<void> {
  await id('model-path').fill(path);
  await id('model-add').click();
}

test('a model that is added is tried by one step, and its card says what came of it', { timeout: LONG }, async () => {
  await id('rail-models').click();
  await add(written('good'));
  await card('good').getByTestId('dry-step-shown').waitFor({ timeout: LONG });
  expect(await card('good').getByTestId('dry-step-shown').textContent()).toMatch(/opened in .* a step of 4 × 4 pixels/);
  const spoilt = written('spoilt');
  const { graph, ...rest } = readModel(join(spoilt, 'vae_decoder', 'model.onnx'));
  const nodes = graph.nodes.map((node) => (node.opType === 'Tanh' ? { ...node, opType: 'NoSuchOperator' } : node));
  writeFolder(spoilt, { 'vae_decoder/model.onnx': { ...rest, graph: { ...graph, nodes } } });
  await add(spoilt);
  await card('spoilt').getByTestId('error-note').waitFor({ timeout: LONG });
  await shoot('1-tried');
  expect(await card('spoilt').getByTestId('error-note').textContent()).toMatch(/NoSuchOperator/);
  await card('good').getByTestId('dry-step-start').click();
  await card('good').getByTestId('dry-step-shown').waitFor({ timeout: LONG });
});

test('a clip skip is offered by a model that has the layers, and is known of its pictures', {
  timeout: LONG,
}, async () => {
  await card('good').getByTestId('use-model').click();
  await id('prompts').fill('red cat');
  await id('count').fill('1');
  await id('steps').fill('3');
  await session.window.page.getByText('More settings').click();
  await id('clip-skip').fill('2');
  await shoot('2-clip-skip');
  await id('generate-start').click();
  await expect.poll(() => id('result').count(), { timeout: LONG }).toBe(1);
  await id('result').first().click();
  await id('sample-detail').getByText('Clip skip').waitFor();
  await session.window.page.keyboard.press('Escape');
  await id('model-select').selectOption('model-bundled-flora');
  expect(await id('clip-skip').count()).toBe(0);
  expect(session.window.complaints).toEqual([]);
});
