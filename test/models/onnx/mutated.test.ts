import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';

const Line = z.object({
  seed: z.int(),
  how: z.string(),
  stage: z.enum(['start', 'end']),
  outcome: z.string().optional(),
  reached: z.string().optional(),
  internal: z.string().optional(),
  ms: z.number().optional(),
  strayed: z.array(z.string()).optional(),
});
type Line = z.infer<typeof Line>;

const CHILD = join(import.meta.dirname, '..', '..', 'support', 'hostile-child.ts');
/** Processor time, so that a busy machine is no fault. */
const MAX_MS = 5000;
/** No file may take so long on any machine. */
const SILENCE_MS = 120_000;

interface Batch {
  readonly lines: readonly Line[];
  readonly exit: string;
}

/** Opens files `first` … `last` − 1 in a process of their own, whose memory is bounded where the system can. */
async function open(kind: 'onnx' | 'safetensors', first: number, last: number): Promise<Batch> {
  const folder = mkdtempSync(join(tmpdir(), 'northlight-mutated-'));
  const args = [CHILD, kind, String(first), String(last), folder];
  const child =
    process.platform === 'linux'
      ? spawn('sh', ['-c', 'ulimit -v 16000000; exec "$0" "$@"', process.execPath, ...args])
      : spawn(process.execPath, args);
  const lines: Line[] = [];
  let stderr = '';
  child.stderr.on('data', (d: Buffer) => {
    stderr = (stderr + d.toString()).slice(-2000);
  });
  let timer = setTimeout(() => child.kill('SIGKILL'), SILENCE_MS);
  try {
    for await (const text of createInterface({ input: child.stdout })) {
      clearTimeout(timer);
      timer = setTimeout(() => child.kill('SIGKILL'), SILENCE_MS);
      lines.push(Line.parse(JSON.parse(text)));
    }
    const exit =
      child.exitCode ??
      child.signalCode ??
      (await new Promise<string>((r) => child.once('exit', (c, s) => r(String(c ?? s)))));
    const at = lines.at(-1);
    return {
      lines,
      exit: String(exit) === '0' ? '0' : `${exit} at seed ${at?.seed} (${at?.how}, ${at?.stage}): ${stderr}`,
    };
  } finally {
    clearTimeout(timer);
    rmSync(folder, { recursive: true, force: true });
  }
}

function expectHarmless({ lines, exit }: Batch, count: number): Map<string, number> {
  expect(exit).toBe('0');
  const ends = lines.filter((l) => l.stage === 'end');
  expect(ends).toHaveLength(count);
  const faults = ends
    .filter((l) => l.internal !== undefined || (l.ms ?? 0) > MAX_MS || (l.strayed ?? []).length > 0)
    .map((l) => `seed ${l.seed} (${l.how}, ${l.reached}, ${l.ms} ms): ${l.internal ?? l.strayed}`);
  expect(faults).toEqual([]);
  const outcomes = new Map<string, number>();
  for (const l of ends) outcomes.set(l.outcome!, (outcomes.get(l.outcome!) ?? 0) + 1);
  return outcomes;
}

describe('a thousand mutated files', () => {
  test.each([0, 1])(
    'ONNX, half %i: each gives a model or a named error, within seconds, and opens nothing outside its folder',
    async (half) => {
      const outcomes = expectHarmless(await open('onnx', half * 350, half * 350 + 350), 350);
      // The mutations are neither all refused at the door nor all harmless.
      expect(outcomes.get('fine')).toBeGreaterThan(20);
      expect(outcomes.size).toBeGreaterThan(15);
      expect(outcomes.get('onnx/external-outside')).toBeGreaterThan(0);
    },
    600_000,
  );

  test('safetensors: each gives the tensors or a named error', async () => {
    const outcomes = expectHarmless(await open('safetensors', 0, 300), 300);
    expect(outcomes.get('fine')).toBeGreaterThan(0);
    expect(outcomes.size).toBeGreaterThan(4);
  }, 600_000);
});
