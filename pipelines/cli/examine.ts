import { execFile } from 'node:child_process';
import { existsSync, statfsSync } from 'node:fs';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import type { Io } from './command.ts';
import { electronBinary } from './electron-binary.ts';
import { formatBytes } from './model-report.ts';

/** One finding. `bad`: something that should work here does not. `note`: works, but worth knowing. */
export interface Check {
  readonly name: string;
  readonly state: 'ok' | 'note' | 'bad';
  readonly text: string;
}

/** Looks at this machine as it is; every sentence comes from something tried or read. */
export async function examine(folder: string, io: Pick<Io, 'progress'>): Promise<{ checks: Check[] }> {
  const steps: readonly [string, () => Check | Check[] | Promise<Check | Check[]>][] = [
    ['Node', checkNode],
    ['Processor', checkProcessor],
    ['Memory', checkMemory],
    ['Disk', () => checkDisk(folder)],
    ['SQLite', checkSqlite],
    ['Pictures', checkPictures],
    ['Providers', checkProviders],
    ['Window', checkElectron],
  ];
  const checks: Check[] = [];
  for (const [index, [name, look]] of steps.entries()) {
    io.progress(name, index, steps.length);
    try {
      checks.push(...[await look()].flat());
    } catch (error) {
      checks.push({ name, state: 'bad', text: error instanceof Error ? error.message : String(error) });
    }
  }
  io.progress('done', steps.length, steps.length);
  return { checks };
}

function checkNode(): Check {
  const [major = 0] = process.versions.node.split('.').map(Number);
  return major >= 24
    ? { name: 'Node', state: 'ok', text: process.versions.node }
    : {
        name: 'Node',
        state: 'bad',
        text: `${process.versions.node}; Northlight needs 24. "npm ci" brings its own: use "npm run".`,
      };
}

function checkProcessor(): Check {
  const [first] = cpus();
  return {
    name: 'Processor',
    state: 'ok',
    text: `${first?.model.trim() ?? process.arch}, ${availableParallelism()} threads`,
  };
}

function checkMemory(): Check {
  const free = freemem();
  const text = `${formatBytes(free)} free of ${formatBytes(totalmem())}`;
  return free < 2e9
    ? { name: 'Memory', state: 'note', text: `${text}; large models will not fit. Close other programs first.` }
    : { name: 'Memory', state: 'ok', text };
}

function checkDisk(folder: string): Check {
  let existing = folder;
  while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing);
  const { bavail, bsize } = statfsSync(existing);
  const text = `${formatBytes(bavail * bsize)} free in ${folder}`;
  return bavail * bsize < 2e9
    ? {
        name: 'Disk',
        state: 'note',
        text: `${text}; runs keep checkpoints. Free some space or use --project elsewhere.`,
      }
    : { name: 'Disk', state: 'ok', text };
}

function checkSqlite(): Check {
  const { sqlite } = process.versions as Record<string, string | undefined>;
  return sqlite === undefined
    ? { name: 'SQLite', state: 'bad', text: 'this Node was built without it. Use the Node that "npm ci" installs.' }
    : { name: 'SQLite', state: 'ok', text: sqlite };
}

async function checkPictures(): Promise<Check> {
  const { decodeImage, encodePng } = await import('#pipelines/images/images.ts');
  const pixels = Uint8Array.from({ length: 12 }, (_, i) => i * 20);
  const back = await decodeImage(await encodePng(pixels, 2, 2));
  return Buffer.from(back.data).equals(Buffer.from(pixels))
    ? { name: 'Pictures', state: 'ok', text: 'PNG written and read back unchanged' }
    : { name: 'Pictures', state: 'bad', text: 'a PNG does not read back as written. Run "npm ci" again.' };
}

/** What the runtime offers on this system; each is tried, since a listed one can still fail. */
const CANDIDATES: Partial<Record<NodeJS.Platform, readonly string[]>> = {
  linux: ['cpu', 'webgpu', 'cuda'],
  darwin: ['cpu', 'coreml', 'webgpu'],
  win32: ['cpu', 'dml', 'webgpu'],
};

const CUDA_HINT = 'For an NVIDIA card: ONNXRUNTIME_NODE_INSTALL=cuda12 npm rebuild onnxruntime-node';

const probeReport = z.union([
  z.object({ loadMs: z.number(), stepMs: z.number(), difference: z.number() }),
  z.object({ reason: z.string() }),
]);

async function checkProviders(): Promise<Check[]> {
  const checks: Check[] = [];
  for (const provider of CANDIDATES[process.platform] ?? ['cpu']) {
    const name = `Provider ${provider}`;
    const report = await probe(provider);
    if ('reason' in report) {
      const text = `not usable: ${report.reason.split('\n')[0]}${provider === 'cuda' ? ` ${CUDA_HINT}` : ''}`;
      checks.push({ name, state: provider === 'cpu' ? 'bad' : 'note', text });
    } else {
      const { loadMs, stepMs, difference } = report;
      const text = `loads in ${loadMs.toFixed(0)} ms, ${stepMs.toFixed(2)} ms a step, differs from CPU by ${difference.toExponential(1)}`;
      checks.push({ name, state: difference < MAX_DIFFERENCE ? 'ok' : 'note', text });
    }
  }
  return checks;
}

/** A GPU rounds differently, and some round products to 10 bits; more than that is another network. */
const MAX_DIFFERENCE = 1e-2;

/** Measures a provider in a process of its own: one that does not work here may end the process. */
async function probe(provider: string): Promise<z.infer<typeof probeReport>> {
  try {
    const script = join(import.meta.dirname, 'probe-provider.ts');
    const { stdout } = await promisify(execFile)(process.execPath, [script, provider], { timeout: 60_000 });
    return probeReport.parse(JSON.parse(stdout));
  } catch (error) {
    return { reason: error instanceof Error ? error.message : String(error) };
  }
}

function checkElectron(): Check {
  const path = electronBinary();
  return path === undefined
    ? {
        name: 'Window',
        state: 'note',
        text: 'the Electron binary is not installed: "npm start" opens a browser. "npx install-electron --no" fetches it.',
      }
    : { name: 'Window', state: 'ok', text: path };
}
