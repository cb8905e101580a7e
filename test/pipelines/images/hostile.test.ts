import { describe, expect, test } from 'vitest';
import { NorthlightError } from '#models/errors.ts';
import { decodeImage } from '#pipelines/images/images.ts';
import { readPictureSettings } from '#pipelines/images/settings/index.ts';
import { hostilePictures } from './hostile-pictures.ts';

const SEED = 20;
/** Of processor time, all threads together: a busy machine does not count. */
const MAX_MS = 1000;
const MAX_GROWTH = 700 << 20;

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** `ok`, or the code of a named error. Anything else fails the test. */
async function outcome(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
    return 'ok';
  } catch (error) {
    if (error instanceof NorthlightError) return error.code;
    throw error;
  }
}

describe('two hundred hostile pictures', () => {
  test('each give settings or a named error, within a second and bounded memory', async () => {
    const files = await hostilePictures(SEED);
    expect(files.length).toBeGreaterThanOrEqual(200);
    const before = process.memoryUsage().rss;
    const seen = new Set<string>();
    for (const { name, bytes } of files) {
      const started = cpuMs();
      const settings = await outcome(() => readPictureSettings(bytes));
      const pixels = await outcome(() => decodeImage(bytes));
      const milliseconds = cpuMs() - started;
      expect.soft(settings, name).toMatch(/^(ok|picture\/[a-z-]+)$/);
      expect.soft(pixels, name).toMatch(/^(ok|picture\/[a-z-]+)$/);
      expect.soft(milliseconds, name).toBeLessThan(MAX_MS);
      expect.soft(process.memoryUsage().rss - before, name).toBeLessThan(MAX_GROWTH);
      seen.add(settings).add(pixels);
    }
    // The generator reaches every limit there is.
    expect([...seen].sort()).toEqual([
      'ok',
      'picture/crc',
      'picture/text',
      'picture/text-too-long',
      'picture/too-large',
      'picture/too-many-parts',
      'picture/truncated',
      'picture/unknown-format',
      'picture/unreadable',
    ]);
  }, 120_000);
});
