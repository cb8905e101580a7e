import {
  closeSync,
  ftruncateSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { NorthlightError } from '#models/errors.ts';
import { readSignature } from '#models/families/signature.ts';
import { isExternal, type Model, type Node } from '#models/onnx/ir.ts';
import { ProtoWriter } from '#models/onnx/proto.ts';
import { readModel } from '#models/onnx/read.ts';
import { subgraphs } from '#models/onnx/traverse.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { f32, i64, isFloat, numel } from '#models/tensor/tensor.ts';
import { hostileOnnx } from '#test/support/mutations.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-signature-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const code = (expected: string) => expect.objectContaining({ name: 'NorthlightError', code: expected });

/** The same facts from the whole model in memory. */
function factsOf(model: Model) {
  const operators: Record<string, number> = {};
  const weights = new Map<string, number>();
  const count = (nodes: readonly Node[]) => {
    for (const node of nodes) {
      const key = node.domain === '' ? node.opType : `${node.domain}:${node.opType}`;
      operators[key] = (operators[key] ?? 0) + 1;
      for (const inner of subgraphs(node)) graph(inner);
    }
  };
  const graph = (g: Model['graph']) => {
    for (const t of g.initializers.values()) {
      if (isFloat(t.dtype)) weights.set(t.dtype, (weights.get(t.dtype) ?? 0) + numel(t.dims));
    }
    count(g.nodes);
  };
  graph(model.graph);
  for (const f of model.functions?.values() ?? []) count(f.nodes);
  for (const f of model.functions?.values() ?? []) delete operators[f.domain === '' ? f.name : `${f.domain}:${f.name}`];
  const ends: Record<string, number> = {};
  for (const t of model.graph.initializers.values()) {
    if (!isExternal(t)) continue;
    const { location, offset, length } = t.external;
    ends[location] = Math.max(ends[location] ?? 0, offset + length);
  }
  const ports = (list: Model['graph']['inputs']) =>
    list.map(({ name, dtype, dims }) => ({ name, dtype, dims: dims ?? [] }));
  return {
    inputs: ports(model.graph.inputs),
    outputs: ports(model.graph.outputs),
    opsets: Object.fromEntries(model.opsets),
    producer: model.producerName,
    parameters: [...weights.values()].reduce((a, b) => a + b, 0),
    operators,
    weightFiles: ends,
  };
}

function signatureFacts(path: string) {
  const s = readSignature(path);
  return {
    inputs: s.inputs,
    outputs: s.outputs,
    opsets: Object.fromEntries(s.opsets),
    producer: s.producer,
    parameters: s.parameters,
    operators: Object.fromEntries(s.operators),
    weightFiles: Object.fromEntries(s.weightFiles.map((f) => [f.location, f.neededBytes])),
  };
}

const fixtures = [...globSync('test/golden/**/*.onnx'), ...globSync('models/bundled/**/*.onnx')].sort();

test.each(fixtures)('%s says the same with and without its weights', (path) => {
  expect(signatureFacts(path)).toEqual(factsOf(readModel(path)));
});

test('every fixture is covered', () => expect(fixtures.length).toBeGreaterThan(35));

test('of 300 damaged files each that can be read whole has the same signature, and the others are refused by name', () => {
  writeFileSync(join(folder, 'external.data'), new Uint8Array(4096));
  let readable = 0;
  for (let seed = 0; seed < 300; seed++) {
    const { bytes, how } = hostileOnnx(seed);
    const path = join(folder, 'hostile.onnx');
    writeFileSync(path, bytes);
    let whole: Model | undefined;
    try {
      whole = readModel(path);
    } catch (error) {
      expect(error, `${seed}: ${how}`).toBeInstanceOf(NorthlightError);
    }
    try {
      const facts = signatureFacts(path);
      if (whole) expect(facts, `${seed}: ${how}`).toEqual(factsOf(whole));
      readable++;
    } catch (error) {
      expect(error, `${seed}: ${how}`).toBeInstanceOf(NorthlightError);
      expect(whole, `${seed}: ${how}: ${String(error)}`).toBeUndefined();
    }
  }
  expect(readable).toBeGreaterThan(50);
});

/** A model with one weight of `bytes` bytes in it, as a file with a hole where the weight would be. */
function hollow(path: string, weightBytes: number): void {
  const varint = (n: number): number[] => (n < 128 ? [n] : [(n % 128) + 128, ...varint(Math.floor(n / 128))]);
  const part = (fill: (w: ProtoWriter) => void) => {
    const w = new ProtoWriter();
    fill(w);
    return Buffer.concat(w.parts());
  };
  const message = (field: number, length: number) => Buffer.from([...varint(field * 8 + 2), ...varint(length)]);
  const tensorHead = part((w) => {
    w.int(1, weightBytes / 4);
    w.int(2, 1);
    w.string(8, 'w');
  });
  const rawTag = message(9, weightBytes);
  const tensorLength = tensorHead.length + rawTag.length + weightBytes;
  const graphEnd = part((w) => {
    w.message(1, (n) => {
      n.string(1, 'w');
      n.string(2, 'y');
      n.string(4, 'Identity');
    });
    w.message(12, (o) => {
      o.string(1, 'y');
      o.message(2, (t) => t.message(1, (tensor) => tensor.int(1, 1)));
    });
  });
  const tensorTag = message(5, tensorLength);
  const head = Buffer.concat([
    part((w) => w.int(1, 8)),
    message(7, tensorTag.length + tensorLength + graphEnd.length),
    tensorTag,
    tensorHead,
    rawTag,
  ]);
  const tail = Buffer.concat([graphEnd, part((w) => w.message(8, (o) => o.int(2, 17)))]);
  const fd = openSync(path, 'w');
  writeSync(fd, head, 0, head.length, 0);
  ftruncateSync(fd, head.length + weightBytes);
  writeSync(fd, tail, 0, tail.length, head.length + weightBytes);
  closeSync(fd);
}

test('a file of 3.4 GB costs neither its time nor its memory', () => {
  const path = join(folder, 'huge.onnx');
  hollow(path, 3_400_000_000);
  readSignature('models/bundled/flora/unet/model.onnx');
  const before = process.memoryUsage();
  const started = performance.now();
  const signature = readSignature(path);
  const ms = performance.now() - started;
  const after = process.memoryUsage();
  rmSync(path);
  expect(signature.parameters).toBe(850_000_000);
  expect(signature.sizeBytes).toBeGreaterThan(3_400_000_000);
  expect(signature.outputs[0]?.name).toBe('y');
  expect(ms).toBeLessThan(100);
  expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(50e6);
  expect(after.heapUsed - before.heapUsed).toBeLessThan(50e6);
});

describe('weights beside the file', () => {
  const base = Uint8Array.from(readFileSync('test/golden/onnx/external.onnx'));
  const place = (name: string) => {
    const inside = join(folder, name);
    mkdirSync(inside, { recursive: true });
    writeFileSync(join(inside, 'model.onnx'), base);
    return inside;
  };

  test('that are missing are said to be missing', () => {
    const inside = place('missing');
    const [file] = readSignature(join(inside, 'model.onnx')).weightFiles;
    expect(file).toMatchObject({ location: expect.any(String), foundBytes: null });
    expect(() => readModel(join(inside, 'model.onnx'))).toThrow(code('onnx/external-missing'));
  });

  test('that are too short are told by their size', () => {
    const inside = place('short');
    const named = readSignature(join(inside, 'model.onnx')).weightFiles[0]!.location;
    writeFileSync(join(inside, named), new Uint8Array(3));
    const [file] = readSignature(join(inside, 'model.onnx')).weightFiles;
    expect(file!.foundBytes).toBe(3);
    expect(file!.neededBytes).toBeGreaterThan(3);
  });

  test('that lead out of the folder are refused', () => {
    const inside = place('outside');
    const named = readSignature(join(inside, 'model.onnx')).weightFiles[0]!.location;
    writeFileSync(join(folder, 'elsewhere.data'), new Uint8Array(4096));
    symlinkSync(join(folder, 'elsewhere.data'), join(inside, named));
    expect(() => readSignature(join(inside, 'model.onnx'))).toThrow(code('onnx/external-outside'));
  });
});

test.each([
  [
    'a placeholder of Git LFS',
    'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1719000000\n',
    'onnx/lfs-pointer',
  ],
  ['an empty file', '', 'onnx/empty'],
  ['a GGUF file', 'GGUF\x03\0\0\0', 'onnx/not-onnx'],
  ['prose', 'this is no model at all, just a sentence', 'onnx/not-onnx'],
])('%s is refused by name', (_, text, expected) => {
  const path = join(folder, 'not-a-model.onnx');
  writeFileSync(path, text);
  expect(() => readSignature(path)).toThrow(code(expected));
});

test('a file cut in the middle of its weights is called cut short', () => {
  const bytes = readFileSync('models/bundled/flora/unet/model.onnx');
  const path = join(folder, 'cut.onnx');
  writeFileSync(path, bytes.subarray(0, bytes.length >> 1));
  expect(() => readSignature(path)).toThrow(code('onnx/truncated'));
});

test('the precision is that of most weights, not of the first or last', () => {
  const op = createBuilder();
  op.output(op.tanh(op.input('x', 'float32', [1])), 'y');
  const model = op.toModel('half');
  model.graph.initializers.set('few', f32([64], new Float32Array(64)));
  model.graph.initializers.set('most', { dtype: 'float16', dims: [4, 64], data: new Uint16Array(256) });
  model.graph.initializers.set('none', i64([300], new Array(300).fill(0)));
  const path = join(folder, 'half.onnx');
  writeFileSync(path, encodeModel(model));
  expect(readSignature(path)).toMatchObject({ precision: 'float16', parameters: 320 });
});
