import { existsSync, statfsSync } from 'node:fs';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { listProviders } from '#models/runtime/providers.ts';
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

const CUDA_HINT = 'For an NVIDIA card: ONNXRUNTIME_NODE_INSTALL=cuda12 npm rebuild onnxruntime-node';

/** Every provider is tried anew: what was found before may be why somebody asks. */
async function checkProviders(): Promise<Check[]> {
  const trials = await listProviders({ cacheFolder: null });
  return trials.map((trial) => {
    const { provider, seconds } = trial;
    const name = `Provider ${provider}`;
    if (!trial.trusted || seconds === null) {
      const text = `not usable: ${trial.reason.split('\n')[0]}${provider === 'cuda' ? ` ${CUDA_HINT}` : ''}`;
      return { name, state: provider === 'cpu' ? 'bad' : 'note', text };
    }
    const start = `starts in ${trial.startSeconds!.toPrecision(2)} s`;
    const run = `${(seconds * 1000).toPrecision(3)} ms for two small matrix products`;
    const agreement = provider === 'cpu' ? '' : `, within ${trial.agreement!.toExponential(0)} of the CPU`;
    return { name, state: 'ok', text: `${start}, ${run}${agreement}` };
  });
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
