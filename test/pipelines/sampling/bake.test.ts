import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { examineModel } from '#models/families/index.ts';
import { readSignature } from '#models/families/signature.ts';
import { readModel } from '#models/onnx/read.ts';
import { writeModel } from '#models/onnx/write.ts';
import { bakeModel } from '#pipelines/sampling/bake.ts';
import { dryStep } from '#pipelines/sampling/dry-step.ts';
import { tinyFolder } from '#test/models/families/tiny-folders.ts';

function place() {
  const folder = mkdtempSync(join(tmpdir(), 'northlight-bake-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
const options = { width: 24, height: 16, batch: 1, threads: 1, progress: () => {} };

test.each(['sd1', 'sdxl', 'lcm', 'float16'])(
  '%s baked has no free input size, the same output, and runs',
  async (name) => {
    const folder = place();
    const source = tinyFolder(name).write(join(folder, name));
    const target = join(folder, 'baked');
    const graphs = await bakeModel(source, target, options);
    expect(Math.max(...graphs.map((g) => g.difference))).toBeLessThanOrEqual(1e-3);
    for (const { file } of graphs) {
      for (const { dims } of readSignature(join(target, file)).inputs) {
        expect(dims.every((d) => typeof d === 'number')).toBe(true);
      }
      // Weights and nodes are those of the source, and the file is sound as a whole.
      const [before, after] = [readModel(join(source, file)), readModel(join(target, file))];
      expect(after.graph.nodes).toEqual(before.graph.nodes);
      expect(after.graph.initializers).toEqual(before.graph.initializers);
    }
    expect(examineModel(target)).toMatchObject({ usable: true, width: 24, height: 16 });
    expect(await dryStep(target, { threads: 1 })).toMatchObject({ finite: true, width: 24, height: 16 });
  },
);

test('weights beside a graph are linked, not copied', async () => {
  const folder = place();
  const source = tinyFolder('sd1').write(join(folder, 'sd1'));
  const unet = join(source, 'unet', 'model.onnx');
  writeModel(readModel(unet), unet, { external: { location: 'model.onnx_data', minBytes: 64 } });
  await bakeModel(source, join(folder, 'baked'), options);
  const inode = (root: string) => statSync(join(root, 'unet', 'model.onnx_data')).ino;
  expect(inode(join(folder, 'baked'))).toBe(inode(source));
});

test('a size the model cannot have and a folder that exists are refused, and nothing is left', async () => {
  const folder = place();
  const source = tinyFolder('sd1').write(join(folder, 'sd1'));
  await expect(bakeModel(source, join(folder, 'odd'), { ...options, width: 17 })).rejects.toMatchObject({
    code: 'sampling/size',
  });
  await expect(bakeModel(source, source, options)).rejects.toMatchObject({ code: 'model/bake-target' });
  expect(readdirSync(folder)).toEqual(['sd1']);
});
