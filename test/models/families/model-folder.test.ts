import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { hashModelFolder, inspectModelFolder, openModelFolder } from '#models/families/index.ts';
import { isExternal } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import { writeModel } from '#models/onnx/write.ts';
import { writeTinyModel } from '#test/support/tiny-model.ts';

function tiny(): string {
  const folder = mkdtempSync(join(tmpdir(), 'northlight-family-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return writeTinyModel(join(folder, 'tiny'));
}

const edit = (path: string, change: (json: Record<string, unknown>) => object) =>
  writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>)));

describe('a pixel-space model folder', () => {
  test('tells its shapes, its prediction type and how many numbers it has', () => {
    const m = openModelFolder(tiny());
    expect(m).toMatchObject({ family: 'pixel-space', name: 'Tiny', dims: [3, 8, 8], predictionType: 'v_prediction' });
    expect(m.model.text.map((part) => part.hidden)).toEqual(['last_hidden_state']);
    let count = 0;
    for (const path of [m.unetPath, m.model.text[0]!.component.path]) {
      for (const t of readModel(path).graph.initializers.values()) {
        if (t.dtype === 'float32') count += isExternal(t) ? Number.NaN : t.data.length;
      }
    }
    expect(m.parameters).toBe(count);
  });

  test('has a hash of what decides its output: copies agree, a changed weight or schedule does not, a description does', () => {
    const [a, b] = [tiny(), tiny()];
    const hash = hashModelFolder(a);
    expect(hashModelFolder(b)).toBe(hash);
    edit(join(b, 'northlight.json'), (j) => ({ ...j, description: 'Another.' }));
    expect(hashModelFolder(b)).toBe(hash);
    edit(join(b, 'scheduler', 'scheduler_config.json'), (j) => ({ ...j, beta_schedule: 'linear' }));
    expect(hashModelFolder(b)).not.toBe(hash);
    const unet = readModel(join(a, 'unet', 'model.onnx'));
    const [first] = [...unet.graph.initializers.values()].filter((t) => t.dtype === 'float32');
    if (first && !isExternal(first)) (first.data as Float32Array)[0]! += 1;
    writeModel(unet, join(a, 'unet', 'model.onnx'));
    expect(hashModelFolder(a)).not.toBe(hash);
  });

  test.each([
    ['an index', (m: string) => rmSync(join(m, 'model_index.json')), 'model/missing-file', /model_index\.json/],
    ['a denoiser', (m: string) => rmSync(join(m, 'unet', 'model.onnx')), 'model/missing-file', /unet/],
    [
      'a text encoder',
      (m: string) => rmSync(join(m, 'text_encoder', 'model.onnx')),
      'model/missing-file',
      /text_encoder/,
    ],
    ['a tokenizer', (m: string) => rmSync(join(m, 'tokenizer', 'tokenizer.json')), 'model/missing-file', /tokenizer/],
    [
      'a schedule',
      (m: string) => rmSync(join(m, 'scheduler', 'scheduler_config.json')),
      'model/missing-file',
      /scheduler/,
    ],
    [
      'readable JSON',
      (m: string) => writeFileSync(join(m, 'model_index.json'), '{"_class'),
      'model/bad-json',
      /model_index/,
    ],
    [
      'a known family',
      (m: string) => {
        writeFileSync(join(m, 'model_index.json'), '{"_class_name":"WuerstchenPipeline"}');
        copyFileSync(join(m, 'text_encoder', 'model.onnx'), join(m, 'unet', 'model.onnx'));
      },
      'model/family',
      /WuerstchenPipeline.*input_ids/,
    ],
    [
      'a whole network',
      (m: string) =>
        writeFileSync(join(m, 'unet', 'model.onnx'), readFileSync(join(m, 'unet', 'model.onnx')).subarray(0, 5000)),
      /^onnx\//,
      /model\.onnx/,
    ],
  ] as [string, (m: string) => void, string | RegExp, RegExp][])(
    'without %s says so, and is reported as unusable with a fix',
    (_title, spoil, code, text) => {
      const m = tiny();
      spoil(m);
      const wanted = typeof code === 'string' ? code : expect.stringMatching(code);
      expect(() => openModelFolder(m)).toThrow(
        expect.objectContaining({ code: wanted, message: expect.stringMatching(text) }),
      );
      const report = inspectModelFolder(m);
      expect(report.usable).toBe(false);
      expect(report.problems).toEqual([{ message: expect.stringMatching(text), hint: expect.stringMatching(/\w/) }]);
    },
  );
});
