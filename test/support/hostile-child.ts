/**
 * Opens hostile files one after the other, as the application would: read, check, import with gradients, and give to the
 * runtime what passed. Prints one JSON line before and after each file, so that a crash in native code has an address.
 * Arguments: kind (onnx | safetensors), first seed, last seed, empty folder.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';

const [kind, first, last, folder] = process.argv.slice(2) as [string, string, string, string];
const opened = new Set<string>();
for (const name of ['openSync', 'readFileSync'] as const) {
  const original = fs[name] as (...args: unknown[]) => unknown;
  (fs as unknown as Record<string, unknown>)[name] = (path: unknown, ...rest: unknown[]) => {
    if (typeof path === 'string') opened.add(path);
    return original(path, ...rest);
  };
}
syncBuiltinESMExports();

const { addGradients } = await import('#models/autodiff/grad.ts');
const { importGraph } = await import('#models/autodiff/import-graph.ts');
const { NorthlightError } = await import('#models/errors.ts');
const { checkModel } = await import('#models/onnx/check.ts');
const { loadInitializer, readModel } = await import('#models/onnx/read.ts');
const { encodeModel } = await import('#models/onnx/write.ts');
const { createBuilder } = await import('#models/ops/index.ts');
const { createSession } = await import('#models/runtime/session.ts');
const { encodeSafetensors, parseSafetensors, readSafetensors } = await import('#models/tensor/safetensors.ts');
const { isFloat, numel } = await import('#models/tensor/tensor.ts');
const { hostileOnnx, hostileSafetensors } = await import('./mutations.ts');

const inside = join(folder, 'inside');
fs.mkdirSync(join(inside, 'folder'), { recursive: true });
fs.writeFileSync(join(folder, 'outside.data'), new Uint8Array(256).fill(1));
fs.copyFileSync(join(import.meta.dirname, '..', 'golden', 'onnx', 'external.data'), join(inside, 'external.data'));
fs.symlinkSync('../outside.data', join(inside, 'link.data'));
fs.symlinkSync('..', join(inside, 'linked'));
if (process.platform !== 'win32') execFileSync('mkfifo', [join(inside, 'pipe')]);

const say = (line: object) => fs.writeSync(1, `${JSON.stringify(line)}\n`);

for (let seed = Number(first); seed < Number(last); seed++) {
  const file = kind === 'onnx' ? hostileOnnx(seed) : hostileSafetensors(seed);
  const path = join(inside, file.name);
  fs.writeFileSync(path, file.bytes);
  say({ seed, how: file.how, stage: 'start' });
  opened.clear();
  const before = process.cpuUsage();
  const outcome = kind === 'onnx' ? await openModel(path) : openTensors(path);
  const { user, system } = process.cpuUsage(before);
  // The runtime's own library may be loaded on the way.
  const strayed = [...opened].filter((p) => !p.startsWith(inside) && !p.includes('onnxruntime'));
  say({ seed, how: file.how, stage: 'end', ...outcome, ms: (user + system) / 1000, strayed });
}

interface Outcome {
  /** A code, or 'fine'. */
  readonly outcome: string;
  readonly reached: string;
  /** Set for an error without a name. */
  readonly internal?: string;
}

async function openModel(path: string): Promise<Outcome> {
  let reached = 'read';
  try {
    const model = readModel(path);
    reached = 'check';
    checkModel(model);
    encodeModel(model);
    for (const name of model.graph.initializers.keys()) loadInitializer(model, name);
    // What passed our checks goes to the runtime, whether or not it can be differentiated.
    const errors: unknown[] = [];
    try {
      reached = 'import';
      const op = createBuilder();
      const imported = importGraph(op, model, { inputs: {} });
      reached = 'gradient';
      const seeds = [...imported.outputs.values()].flatMap((value, i) =>
        isFloat(value.dtype) ? [{ value, cotangent: op.input(`cotangent/${i}`, value.dtype, value.dims) }] : [],
      );
      const wrt = [...imported.inputs.values()].filter((v) => isFloat(v.dtype));
      for (const [, g] of addGradients(op, seeds, wrt)) if (g) op.output(g, op.fresh('g'));
      const sizes = [...op.values.values()].map((v) => numel(v.dims));
      reached = 'session of the gradient';
      // A graph that would fill the memory is somebody's to ask for, not ours to try.
      if (op.outputs.length > 0 && Math.max(...sizes) < 2 ** 24) {
        const session = await createSession(encodeModel(op.toModel('gradient')), { threads: 1 });
        await session.release();
      }
    } catch (error) {
      errors.push(error);
    }
    reached = errors.length > 0 ? `${reached}, then session` : 'session';
    try {
      const session = await createSession(path, { threads: 1 });
      await session.release();
    } catch (error) {
      errors.push(error);
    }
    for (const error of errors) if (!(error instanceof NorthlightError)) throw error;
    return { outcome: errors.length > 0 ? (errors[0] as InstanceType<typeof NorthlightError>).code : 'fine', reached };
  } catch (error) {
    return failure(error, reached);
  }
}

function openTensors(path: string): Outcome {
  try {
    const read = readSafetensors(path);
    const again = parseSafetensors(encodeSafetensors(read.tensors, read.metadata), 'again');
    const same = [...read.tensors].every(([name, t]) => {
      const other = again.tensors.get(name);
      return other && String(other.dims) === String(t.dims) && Buffer.from(bytes(t)).equals(Buffer.from(bytes(other)));
    });
    if (!same || again.tensors.size !== read.tensors.size) throw new Error('does not read back as it was written');
    return { outcome: 'fine', reached: 'read' };
  } catch (error) {
    return failure(error, 'read');
  }
}

function bytes(t: { data: unknown }): Uint8Array {
  const data = t.data as { buffer: ArrayBuffer; byteOffset: number; byteLength: number };
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function failure(error: unknown, reached: string): Outcome {
  if (error instanceof NorthlightError) return { outcome: error.code, reached };
  return {
    outcome: 'internal',
    reached,
    internal: error instanceof Error ? (error.stack ?? error.message) : String(error),
  };
}
