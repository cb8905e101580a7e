import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { listProviders } from '#models/runtime/providers.ts';
import { listBackends, type Provider } from '#models/runtime/session.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'northlight-providers-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A probe of its own making: a sound CPU, and whatever `other` does for the rest. */
function probe(name: string, other: string): URL {
  const file = join(folder, `${name}.mjs`);
  writeFileSync(
    file,
    `const good = { seconds: 0.001, result: [1, -2, 4] };
     if (process.argv[2] === 'cpu') process.send(good, () => process.exit(0));
     else { ${other} }`,
  );
  return pathToFileURL(file);
}

const other = async (name: string, code: string) => {
  const providers: readonly Provider[] = ['cpu', 'webgpu'];
  const [cpu, webgpu] = await listProviders({ probe: probe(name, code), providers });
  expect(cpu).toEqual({ provider: 'cpu', usable: true, reason: '', seconds: 0.001, agreement: 0 });
  return webgpu!;
};

describe('what this machine can run', () => {
  test('the CPU is measured and agrees with itself exactly', async () => {
    const [cpu, ...rest] = await listProviders({ providers: ['cpu'] });
    expect(rest).toEqual([]);
    expect(cpu).toMatchObject({ provider: 'cpu', usable: true, reason: '', agreement: 0 });
    expect(cpu!.seconds).toBeGreaterThan(0);
    expect(cpu!.seconds).toBeLessThan(5);
  });

  test('the runtime lists the CPU, first', () => {
    expect(listBackends()[0]).toBe('cpu');
  });

  test('a provider that the runtime does not have is not usable, and says why', async () => {
    const [, absent] = await listProviders({ providers: ['cpu', process.platform === 'darwin' ? 'dml' : 'coreml'] });
    expect(absent).toMatchObject({ usable: false, seconds: null, agreement: null });
    expect(absent!.reason).not.toBe('');
  });

  test('a driver that aborts takes only its own process with it', async () => {
    const report = await other('abort', 'process.abort();');
    expect(report).toMatchObject({ usable: false, reason: expect.stringContaining('The driver ended the process') });
  });

  test('a driver that hangs is given up', async () => {
    const hanging = probe('hang', 'setInterval(() => {}, 1000);');
    const [, report] = await listProviders({ probe: hanging, providers: ['cpu', 'webgpu'], timeoutMs: 1500 });
    expect(report).toMatchObject({ usable: false, reason: 'No answer within 1.5 s.' });
  });

  test('a provider whose results differ from the CPU by more than a hundredth is not usable', async () => {
    const send = (values: string) => `process.send({ seconds: 0.5, result: ${values} }, () => process.exit(0));`;
    const off = await other('off', send('[1, -2, 4.1]'));
    expect(off).toMatchObject({ usable: false, seconds: 0.5 });
    expect(off.agreement).toBeCloseTo(0.025, 12);
    const near = await other('near', send('[1, -2, 4.004]'));
    expect(near).toMatchObject({ usable: true, reason: '' });
    const short = await other('short', send('[1]'));
    expect(short).toMatchObject({ usable: false, agreement: Number.POSITIVE_INFINITY });
  });

  test('an answer that makes no sense is not believed', async () => {
    const report = await other('nonsense', `process.send({ hello: 1 }, () => process.exit(0));`);
    expect(report).toMatchObject({ usable: false, reason: 'The probe answered nonsense.' });
  });
});
