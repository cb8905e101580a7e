import { appendFileSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { measureModel, providerForModel, rememberedProvider } from '#pipelines/sampling/model-trials.ts';
import { tinyFolder } from '#test/models/families/tiny-folders.ts';
import { webgpuHere } from '#test/support/webgpu.ts';

vi.setConfig({ testTimeout: 240_000 });

function place() {
  const folder = mkdtempSync(join(tmpdir(), 'northlight-model-trials-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A provider that behaves as told, in a child process as the real ones: `runs` is what it does after the real run. */
function actingProbe(folder: string, acts: string): URL {
  const real = pathToFileURL(join(import.meta.dirname, '..', '..', '..', 'models', 'runtime', 'probe-graph.ts')).href;
  const file = join(folder, 'probe.mjs');
  writeFileSync(
    file,
    `import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
     import { join } from 'node:path';
     const provider = process.argv[2];
     const work = process.argv[3];
     appendFileSync(${JSON.stringify(join(folder, 'log'))}, provider + '\\n');
     if (provider !== 'cpu') {
       ${acts}
       process.argv[2] = 'cpu';
     }
     await import(${JSON.stringify(real)});`,
  );
  return pathToFileURL(file);
}

test.each(['sd1', 'sdxl', 'inpainting', 'baked-batch-2', 'float16', 'timestep-int64-scalar'])(
  'one step of %s is measured on the CPU with the inputs that the pipeline would feed',
  async (name) => {
    const model = tinyFolder(name).write(join(place(), name));
    const [cpu] = await measureModel(model, { candidates: ['cpu'], cacheFolder: null, threads: 1 });
    expect(cpu).toMatchObject({ provider: 'cpu', trusted: true, agreement: 0, reason: '' });
    expect(cpu!.seconds).toBeGreaterThan(0);
    expect(cpu!.peakBytes).toBeGreaterThan(1e7);
  },
);

describe('auto picks only what was measured to agree', () => {
  test('a provider that ends its process is passed over, with the reason', async () => {
    const folder = place();
    const model = tinyFolder('sd1').write(join(folder, 'sd1'));
    const probe = actingProbe(folder, 'process.abort();');
    const choice = await providerForModel(model, 'auto', { candidates: ['cpu', 'webgpu'], cacheFolder: null, probe });
    expect(choice.provider).toBe('cpu');
    expect(choice.others).toMatchObject([{ provider: 'webgpu', why: expect.stringMatching(/ended the process/) }]);
    await expect(providerForModel(model, 'webgpu', { cacheFolder: null, probe })).rejects.toMatchObject({
      code: 'provider/refused',
    });
  });

  test('a provider that is quick and wrong is passed over', async () => {
    const folder = place();
    const model = tinyFolder('sd1').write(join(folder, 'sd1'));
    // The graph's answer with its numbers overwritten, claimed to have taken no time.
    const probe = actingProbe(
      folder,
      `const send = process.send.bind(process);
       process.send = (answer, done) => {
         const path = join(work, 'outputs.safetensors');
         const bytes = readFileSync(path);
         bytes.fill(0x3f, 8 + Number(bytes.readBigUInt64LE(0)));
         writeFileSync(path, bytes);
         return send({ ...answer, seconds: 1e-9 }, done);
       };`,
    );
    const choice = await providerForModel(model, 'auto', { candidates: ['cpu', 'webgpu'], cacheFolder: null, probe });
    expect(choice.provider).toBe('cpu');
    expect(choice.others[0]!.why).toMatch(/differs from the CPU/);
  });

  test('what was measured is remembered until a file of the model changes', async () => {
    const folder = place();
    const model = tinyFolder('sd1').write(join(folder, 'sd1'));
    const probe = actingProbe(folder, '');
    const options = { candidates: ['cpu' as const], cacheFolder: join(folder, 'kept'), probe };
    await measureModel(model, options);
    await measureModel(model, options);
    const runs = () => readdirSync(join(folder, 'kept')).length;
    expect(runs()).toBe(1);
    appendFileSync(join(model, 'unet', 'config.json'), ' ');
    await measureModel(model, options);
    expect(runs()).toBe(2);
  });

  test('a command takes what was measured before, and measures nothing itself', async () => {
    const folder = place();
    const model = tinyFolder('sd1').write(join(folder, 'sd1'));
    const probe = actingProbe(
      folder,
      `const send = process.send.bind(process);
       process.send = (answer, done) => send({ ...answer, seconds: 1e-9 }, done);`,
    );
    const kept = { candidates: ['cpu', 'webgpu'] as const, cacheFolder: join(folder, 'kept') };
    const idle = { ...kept, probe: pathToFileURL(join(folder, 'no-such-probe.mjs')) };
    expect(await rememberedProvider(model, idle)).toBeNull();
    await measureModel(model, { ...kept, candidates: ['cpu'], probe });
    expect(await rememberedProvider(model, idle)).toBeNull();
    await measureModel(model, { ...kept, probe });
    expect(await rememberedProvider(model, idle)).toMatchObject({
      provider: 'webgpu',
      because: expect.stringMatching(/agrees with the CPU/),
    });
    appendFileSync(join(model, 'unet', 'config.json'), ' ');
    expect(await rememberedProvider(model, idle)).toBeNull();
  });
});

const usable = await webgpuHere();

describe.skipIf(!usable)('WebGPU', () => {
  test('a model is compared with the CPU as a whole', async () => {
    const model = tinyFolder('sd1').write(join(place(), 'sd1'));
    const [cpu, webgpu] = await measureModel(model, { candidates: ['cpu', 'webgpu'], cacheFolder: null });
    expect(cpu!.trusted).toBe(true);
    expect(webgpu).toMatchObject({ provider: 'webgpu', trusted: true });
    expect(webgpu!.agreement).toBeLessThan(1e-2);
  });
});
