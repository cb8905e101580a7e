import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fc, test as property } from '@fast-check/vitest';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { isExternal, type Model } from '#models/onnx/ir.ts';
import { loadInitializer, parseModel, readModel } from '#models/onnx/read.ts';
import { encodeModel, writeModel } from '#models/onnx/write.ts';
import { f32, type Tensor, toBytes, toNumbers } from '#models/tensor/tensor.ts';
import { anyModel } from '#test/models/onnx/random-model.ts';

const GOLDEN = 'test/golden/onnx';
const code = (expected: string) => expect.objectContaining({ name: 'NorthlightError', code: expected });

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'northlight-onnx-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** y = x · big + small. */
function twoWeights(): Model {
  return {
    irVersion: 10,
    producerName: 'test',
    opsets: new Map([['', 17]]),
    metadata: new Map(),
    graph: {
      name: 'g',
      inputs: [{ name: 'x', dtype: 'float32', dims: ['n', 30] }],
      outputs: [{ name: 'y', dtype: 'float32', dims: null }],
      initializers: new Map([
        [
          'big',
          f32(
            [30, 20],
            Float32Array.from({ length: 600 }, (_, i) => i),
          ),
        ],
        [
          'bigger',
          f32(
            [2, 600],
            Float32Array.from({ length: 1200 }, (_, i) => -i),
          ),
        ],
        ['small', f32([20], new Float32Array(20))],
      ]),
      valueInfo: new Map(),
      nodes: [
        { opType: 'MatMul', domain: '', name: 'mm', inputs: ['x', 'big'], outputs: ['h'], attributes: new Map() },
        { opType: 'Add', domain: '', name: 'add', inputs: ['h', 'small'], outputs: ['y'], attributes: new Map() },
      ],
    },
  };
}

describe('files of another implementation', () => {
  const model = readModel(join(GOLDEN, 'all-types.onnx'));

  test.each([
    [1, 'float32', -1],
    [11, 'float64', -1],
    [3, 'int8', -1],
    [2, 'uint8', 1],
    [5, 'int16', -1],
    [4, 'uint16', 1],
    [6, 'int32', -1],
    [12, 'uint32', 1],
    [7, 'int64', -1],
    [13, 'uint64', 1],
    [9, 'bool', 1],
    [10, 'float16', -1],
  ])('element type %d reads as %s, from raw bytes and from typed fields', (number, dtype, sign) => {
    const expected = [0, 1, 3, 5, 7, 100].map((v) => (dtype === 'bool' ? Math.min(v, 1) : v * sign));
    for (const kind of ['raw', 'typed']) {
      const t = loadInitializer(model, `${kind}_${number}`);
      expect([t.dtype, t.dims]).toEqual([dtype, [2, 3]]);
      expect(toNumbers(t).map((v) => v + 0)).toEqual(expected.map((v) => v + 0));
    }
  });

  test('bfloat16, strings, scalars and empty tensors read', () => {
    expect(toNumbers(loadInitializer(model, 'bfloat16'))).toEqual([1, -2, 3.5]);
    expect(loadInitializer(model, 'strings').data).toEqual(['a', 'ü']);
    expect(loadInitializer(model, 'scalar')).toEqual(f32([], [3.5]));
    expect(loadInitializer(model, 'none')).toEqual(f32([0, 4], []));
  });

  test('attributes, sub-graphs, types and metadata read', () => {
    const { graph } = model;
    const constant = (output: string) => [...graph.nodes.find((n) => n.outputs[0] === output)!.attributes.values()][0];
    expect(constant('k1')).toEqual({ kind: 'tensor', value: f32([2], [1, 2]) });
    expect(constant('k2')).toEqual({ kind: 'ints', value: [-1, 2 ** 63, -(2 ** 63), 5] });
    expect(constant('k3')).toEqual({ kind: 'strings', value: ['p', 'q'] });
    expect(constant('k4')).toEqual({ kind: 'floats', value: [1.5, -2] });
    expect(constant('k5')).toEqual({ kind: 'float', value: 0 });
    expect(constant('k6')).toEqual({ kind: 'int', value: -3 });
    expect(constant('k7')).toEqual({ kind: 'string', value: 'hé' });
    const branch = graph.nodes.find((n) => n.opType === 'If')!.attributes.get('else_branch');
    expect(branch).toMatchObject({
      kind: 'graph',
      value: { name: 'else', nodes: [{ opType: 'Mul', inputs: ['x', 'scalar'] }] },
    });
    expect(graph.inputs).toEqual([
      { name: 'x', dtype: 'float32', dims: ['batch', 8] },
      { name: 'c', dtype: 'bool', dims: [] },
    ]);
    expect(graph.outputs[1]).toEqual({ name: 'z', dtype: 'float32', dims: [null, 8] });
    expect([...graph.valueInfo.keys()]).toEqual(['cc']);
    expect([model.irVersion, model.producerName, [...model.opsets], [...model.metadata]]).toEqual([
      8,
      'golden',
      [['', 15]],
      [['k', 'v']],
    ]);
  });

  test('external weights stay outside until they are asked for', () => {
    const external = readModel(join(GOLDEN, 'external.onnx'));
    const w = external.graph.initializers.get('W')!;
    expect(isExternal(w) && w.external).toEqual({ location: 'external.data', offset: 0, length: 256 });
    expect(loadInitializer(external, 'W')).toEqual(loadInitializer(model, 'W'));
  });
});

describe('round trips', () => {
  property.prop([anyModel], { numRuns: 200 })(
    'a model survives writing and reading, and the bytes are stable',
    (model) => {
      const bytes = encodeModel(model);
      const back = parseModel(bytes, 'memory');
      expect(back).toEqual(model);
      expect(Buffer.compare(encodeModel(back), bytes)).toBe(0);
    },
  );

  test('the file holds the encoded bytes', () => {
    const path = join(folder, 'm.onnx');
    writeModel(twoWeights(), path);
    expect(Buffer.compare(readFileSync(path), encodeModel(twoWeights()))).toBe(0);
    expect(readModel(path)).toEqual({ ...twoWeights(), folder });
    expect(readdirSync(folder)).toEqual(['m.onnx']);
  });

  property.prop([fc.infiniteStream(fc.nat(9))], { numRuns: 50 })(
    'fields may come in any order and unknown ones are skipped',
    (order) => {
      const bytes = encodeModel(twoWeights());
      const unknown = Uint8Array.of(0xf8, 0x06, 0x01, 0xf2, 0x06, 0x02, 0x08, 0x01); // fields 111 (number) and 110 (message)
      const fields = [...topLevelFields(bytes), unknown];
      const shuffled = fields
        .map((f) => [order.next().value as number, f] as const)
        .sort((a, b) => a[0] - b[0])
        .map(([, f]) => f);
      expect(parseModel(Buffer.concat(shuffled), 'memory')).toEqual(twoWeights());
    },
  );

  test('nodes in the wrong order are brought into execution order', () => {
    const model = twoWeights();
    model.graph.nodes.reverse();
    expect(parseModel(encodeModel(model), 'memory').graph.nodes.map((n) => n.name)).toEqual(['mm', 'add']);
  });

  test('weights that are also listed as inputs are weights only', () => {
    const model = twoWeights();
    model.irVersion = 3;
    model.graph.inputs.push({ name: 'big', dtype: 'float32', dims: [30, 20] });
    const back = parseModel(encodeModel(model), 'memory');
    expect(back.graph.inputs.map((i) => i.name)).toEqual(['x']);
    expect(back.irVersion).toBe(4);
  });
});

describe('external data', () => {
  const big = (model: Model, name: string) => toBytes(loadInitializer(model, name));

  test('large weights move to one file at page boundaries, small ones stay', () => {
    const path = join(folder, 'm.onnx');
    writeModel(twoWeights(), path, { external: { location: 'm.data' } });
    const back = readModel(path);
    const places = [...back.graph.initializers].map(([name, init]) => [name, isExternal(init) ? init.external : null]);
    expect(places).toEqual([
      ['big', { location: 'm.data', offset: 0, length: 2400 }],
      ['bigger', { location: 'm.data', offset: 4096, length: 4800 }],
      ['small', null],
    ]);
    expect(statSync(join(folder, 'm.data')).size).toBe(4096 + 4800);
    for (const name of ['big', 'bigger', 'small']) expect(big(back, name)).toEqual(big(twoWeights(), name));
    expect(readdirSync(folder).sort()).toEqual(['m.data', 'm.onnx']);
  });

  test('minBytes decides what moves, and nothing to move makes no file', () => {
    writeModel(twoWeights(), join(folder, 'a.onnx'), { external: { location: 'a.data', minBytes: 1 } });
    expect([...readModel(join(folder, 'a.onnx')).graph.initializers.values()].every(isExternal)).toBe(true);
    writeModel(twoWeights(), join(folder, 'b.onnx'), { external: { location: 'b.data', minBytes: 1e6 } });
    expect(readdirSync(folder)).not.toContain('b.data');
  });

  test('references stay valid in the same folder, also beside newly moved weights', () => {
    const path = join(folder, 'm.onnx');
    writeModel(twoWeights(), path, { external: { location: 'm.data' } });
    const model = readModel(path);
    model.graph.initializers.set('small', f32([20], new Float32Array(20).fill(7)));
    writeModel(model, join(folder, 'n.onnx'), { external: { location: 'n.data', minBytes: 1 } });
    const back = readModel(join(folder, 'n.onnx'));
    expect(big(back, 'big')).toEqual(big(twoWeights(), 'big'));
    expect(toNumbers(loadInitializer(back, 'small'))[0]).toBe(7);
  });

  test('a model with references cannot be written elsewhere, nor over the data it refers to', () => {
    const path = join(folder, 'm.onnx');
    writeModel(twoWeights(), path, { external: { location: 'm.data' } });
    const before = readFileSync(join(folder, 'm.data'));
    const model = readModel(path);
    mkdirSync(join(folder, 'other'));
    expect(() => writeModel(model, join(folder, 'other', 'm.onnx'))).toThrow(code('onnx/external-folder'));
    const again = { external: { location: './m.data', minBytes: 1 } };
    expect(() => writeModel(model, path, again)).toThrow(code('onnx/external-conflict'));
    const itself = { external: { location: 'm.onnx' } };
    expect(() => writeModel(twoWeights(), path, itself)).toThrow(code('onnx/external-conflict'));
    const outside = { external: { location: '../m.data' } };
    expect(() => writeModel(twoWeights(), path, outside)).toThrow(code('onnx/external-outside'));
    expect(Buffer.compare(readFileSync(join(folder, 'm.data')), before)).toBe(0);
    expect(readdirSync(join(folder, 'other'))).toEqual([]);
  });

  test('when the model cannot be written, its data file is not left behind either', () => {
    mkdirSync(join(folder, 'm.onnx'));
    expect(() => writeModel(twoWeights(), join(folder, 'm.onnx'), { external: { location: 'm.data' } })).toThrow(
      code('file/is-folder'),
    );
    expect(readdirSync(folder)).toEqual(['m.onnx']);
    expect(() => writeModel(twoWeights(), '/proc/m.onnx', { external: { location: 'm.data' } })).toThrow(
      code('file/not-writable'),
    );
  });

  test('a missing, short or placeholder data file is found when the model is opened', () => {
    copyFileSync(join(GOLDEN, 'external.onnx'), join(folder, 'external.onnx'));
    const open = () => readModel(join(folder, 'external.onnx'));
    expect(open).toThrow(code('onnx/external-missing'));
    writeFileSync(join(folder, 'external.data'), new Uint8Array(255));
    expect(open).toThrow(code('onnx/external-short'));
    writeFileSync(
      join(folder, 'external.data'),
      'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 256\n',
    );
    expect(open).toThrow(code('onnx/lfs-pointer'));
    rmSync(join(folder, 'external.data'));
    mkdirSync(join(folder, 'external.data'));
    expect(open).toThrow(code('onnx/external-missing'));
  });

  test.each(['/etc/passwd', '../secret', 'a/../../secret', 'C:\\secret', '\\\\host\\share', '..\\secret', ''])(
    'the location %j is refused',
    (location) => {
      const model = twoWeights();
      model.graph.initializers.set('big', {
        dtype: 'float32',
        dims: [30, 20],
        external: { location, offset: 0, length: 2400 },
      });
      expect(() => parseModel(encodeModel(model), 'memory', folder)).toThrow(code('onnx/external-outside'));
    },
  );

  test('a length that does not fit the shape is refused, and so is loading without a folder', () => {
    const model = twoWeights();
    const external = { location: 'w.data', offset: 0, length: 2399 };
    model.graph.initializers.set('big', { dtype: 'float32', dims: [30, 20], external });
    expect(() => parseModel(encodeModel(model), 'memory')).toThrow(code('onnx/tensor-size'));
    model.graph.initializers.set('big', { dtype: 'float32', dims: [30, 20], external: { ...external, length: 2400 } });
    const back = parseModel(encodeModel(model), 'memory');
    expect(() => loadInitializer(back, 'big')).toThrow(code('onnx/external-missing'));
    expect(() => loadInitializer(back, 'none')).toThrow(code('onnx/no-initializer'));
  });
});

/** The outermost fields of a message with one-byte tags, each with its tag. */
function topLevelFields(bytes: Uint8Array): Uint8Array[] {
  const fields: Uint8Array[] = [];
  for (let i = 0; i < bytes.length; ) {
    const start = i;
    const wire = bytes[i++]! & 7;
    let value = 0;
    for (let shift = 0, more = true; more; shift += 7, i++) {
      value |= (bytes[i]! & 0x7f) << shift;
      more = bytes[i]! >= 0x80;
    }
    if (wire === 2) i += value;
    fields.push(bytes.subarray(start, i));
  }
  return fields;
}

test('numeric weights are views of the bytes that were read, not copies, where alignment allows', () => {
  const bytes = encodeModel(twoWeights());
  for (let shift = 0; shift < 4; shift++) {
    const moved = new Uint8Array(bytes.length + shift).subarray(shift);
    moved.set(bytes);
    const t = parseModel(moved, 'memory').graph.initializers.get('big') as Tensor<'float32'>;
    expect([...t.data]).toEqual(Array.from({ length: 600 }, (_, i) => i));
  }
});
