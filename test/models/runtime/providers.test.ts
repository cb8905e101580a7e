import { describe, expect, test } from 'vitest';
import { candidateProviders } from '#models/runtime/choose-provider.ts';
import { listProviders } from '#models/runtime/providers.ts';
import { listBackends } from '#models/runtime/session.ts';

describe('what this machine can run', () => {
  test('the CPU is measured and agrees with itself exactly', async () => {
    const [cpu, ...rest] = await listProviders({ providers: ['cpu'], cacheFolder: null });
    expect(rest).toEqual([]);
    expect(cpu).toMatchObject({ provider: 'cpu', trusted: true, reason: '', agreement: 0, leftToCpu: [] });
    expect(cpu!.seconds).toBeGreaterThan(0);
    expect(cpu!.seconds).toBeLessThan(5);
  });

  test('everything that the runtime has here is a candidate, the CPU first', () => {
    const backends = listBackends();
    expect(backends[0]).toBe('cpu');
    expect(candidateProviders()[0]).toBe('cpu');
    expect(backends.filter((b) => !candidateProviders().includes(b))).toEqual([]);
  });

  test('a provider that the runtime does not have is not usable, and says why', async () => {
    const absent = process.platform === 'darwin' ? 'dml' : 'coreml';
    const [trial] = await listProviders({ providers: [absent], cacheFolder: null });
    expect(trial).toMatchObject({ provider: absent, trusted: false, seconds: null, agreement: null });
    expect(trial!.reason).not.toBe('');
  });
});
