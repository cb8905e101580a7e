import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fc, test as property } from '@fast-check/vitest';
import { afterAll, describe, expect, test } from 'vitest';
import { NorthlightError } from '#models/errors.ts';
import { ProtoWriter } from '#models/onnx/proto.ts';
import { loadInitializer, parseModel, readModel } from '#models/onnx/read.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { anyModel } from '#test/models/onnx/random-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'northlight-hostile-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const code = (expected: string) => expect.objectContaining({ name: 'NorthlightError', code: expected });
const golden = Uint8Array.from(readFileSync('test/golden/onnx/all-types.onnx'));

type Fill = (w: ProtoWriter) => void;

function bytesOf(fill: Fill): Uint8Array {
  const w = new ProtoWriter();
  fill(w);
  return Uint8Array.from(Buffer.concat(w.parts()));
}

/** A ModelProto around a hand-written GraphProto, opset 17. */
function modelWith(graph: Fill, more: Fill = () => {}): Uint8Array {
  return bytesOf((w) => {
    w.int(1, 10);
    w.message(7, graph);
    w.message(8, (o) => o.int(2, 17));
    more(w);
  });
}

function node(opType: string, inputs: string[], outputs: string[], more: Fill = () => {}, field = 1): Fill {
  return (w) =>
    w.message(field, (n) => {
      for (const name of inputs) n.string(1, name);
      for (const name of outputs) n.string(2, name);
      n.string(4, opType);
      more(n);
    });
}

/** A TensorProto called w as initialiser. */
function weight(dims: (number | bigint)[], dataType: number, more: Fill = () => {}): Fill {
  return (w) =>
    w.message(5, (t) => {
      for (const d of dims) t.int(1, d);
      t.int(2, dataType);
      t.string(8, 'w');
      more(t);
    });
}

const all =
  (...fills: Fill[]): Fill =>
  (w) => {
    for (const fill of fills) fill(w);
  };

/** A call of a function of the model's own. */
const callOf = (name: string) => node(name, [], ['y'], (n) => n.string(7, 'local'));

/** The rest of a model: a version for the domain "local", and one function in it with one output. */
const withFunction =
  (name: string, body: Fill, output?: string): Fill =>
  (w) => {
    w.message(8, (o) => {
      o.string(1, 'local');
      o.int(2, 1);
    });
    w.message(25, (f) => {
      f.string(1, name);
      f.string(10, 'local');
      if (output) f.string(5, output);
      f.message(9, (o) => o.int(2, 17));
      body(f);
    });
  };

/** Parses, letting through only the errors a user can be shown. Returns the code, or 'fine'. */
function outcome(bytes: Uint8Array): string {
  try {
    encodeModel(parseModel(bytes, 'x.onnx'));
    return 'fine';
  } catch (error) {
    expect(error).toBeInstanceOf(NorthlightError);
    expect((error as NorthlightError).message).toContain('x.onnx');
    return (error as NorthlightError).code;
  }
}

describe('files that are not models', () => {
  test.each<[string, string, string | Uint8Array]>([
    ['an empty file', 'onnx/empty', ''],
    [
      'a Git LFS placeholder',
      'onnx/lfs-pointer',
      'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n',
    ],
    ['a web page', 'onnx/not-onnx', '<!DOCTYPE html><html><body>404</body></html>'],
    ['a JSON file', 'onnx/not-onnx', '{"error": "not found"}'],
    ['plain text', 'onnx/not-onnx', 'Not found. Please sign in to download this model.'],
    ['a PyTorch archive', 'onnx/not-onnx', Uint8Array.from([0x50, 0x4b, 3, 4, 0, 0, 8, 8, 0, 0])],
    ['a safetensors file', 'onnx/not-onnx', Uint8Array.from([0x40, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x22])],
    ['a GGUF file', 'onnx/not-onnx', 'GGUF\x03\0\0\0'],
    ['zeros', 'onnx/not-onnx', new Uint8Array(4096)],
    ['one bits', 'onnx/not-onnx', new Uint8Array(4096).fill(0xff)],
    ['a protobuf message of another kind', 'onnx/not-onnx', bytesOf((w) => w.string(3, 'hello'))],
    ['a model without a graph', 'onnx/not-onnx', bytesOf((w) => w.int(1, 8))],
  ])('%s is refused as %s', (_what, expected, content) => {
    const path = join(folder, 'file.onnx');
    writeFileSync(path, content);
    expect(() => readModel(path)).toThrow(code(expected));
    expect(() => readModel(path)).toThrow(path);
  });

  test('a folder, a missing file and a device are refused', () => {
    expect(() => readModel(folder)).toThrow(code('file/is-folder'));
    expect(() => readModel(join(folder, 'none.onnx'))).toThrow(code('file/missing'));
    expect(() => readModel('/dev/zero')).toThrow(code('file/not-regular'));
  });

  property.prop([fc.uint8Array({ maxLength: 300 })], { numRuns: 500 })('random bytes are refused', (bytes) => {
    expect(outcome(bytes)).not.toBe('fine');
  });
});

describe('damaged models', () => {
  test('cut short anywhere, a model is refused; past its head the cause is named', () => {
    const codes = new Map<string, number>();
    for (let length = 0; length < golden.length; length++) {
      const found = outcome(golden.subarray(0, length));
      codes.set(found, (codes.get(found) ?? 0) + 1);
    }
    // The opset import and the metadata follow the graph: a cut exactly between fields may lose only them.
    expect(codes.get('onnx/truncated')).toBeGreaterThan(golden.length - 15);
    expect([...codes.keys()].sort()).toEqual(expect.arrayContaining(['onnx/empty', 'onnx/truncated']));
    for (const found of codes.keys()) {
      expect(['onnx/empty', 'onnx/truncated', 'onnx/not-onnx', 'onnx/opset', 'fine']).toContain(found);
    }
    expect(codes.get('fine') ?? 0).toBeLessThanOrEqual(1);
  });

  property.prop([fc.array(fc.tuple(fc.nat(golden.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 })], {
    numRuns: 500,
  })('changed bytes give a model or a named error, never a crash', (edits) => {
    const bytes = Uint8Array.from(golden);
    for (const [at, value] of edits) bytes[at] = value;
    outcome(bytes);
  });

  property.prop([anyModel, fc.infiniteStream(fc.nat()), fc.nat()], { numRuns: 150 })(
    'random models with flipped bits and missing pieces give a model or a named error',
    (model, random, cut) => {
      const bytes = Uint8Array.from(encodeModel(model));
      for (let i = 0; i < 4; i++) {
        const at = (random.next().value as number) % bytes.length;
        bytes[at]! ^= 1 << ((random.next().value as number) % 8);
      }
      outcome(bytes);
      const from = cut % bytes.length;
      outcome(Buffer.concat([bytes.subarray(0, from), bytes.subarray(Math.min(bytes.length, from + 3))]));
    },
  );
});

describe('hostile structure', () => {
  const identity = node('Identity', ['w'], ['y']);
  const raw =
    (n: number): Fill =>
    (t) =>
      t.bytes(9, new Uint8Array(n));

  test.each<[string, string, Uint8Array]>([
    ['a cycle', 'onnx/cycle', modelWith(all(node('Neg', ['a'], ['b']), node('Neg', ['b'], ['a'])))],
    ['a node that reads itself', 'onnx/cycle', modelWith(node('Neg', ['a'], ['a']))],
    ['an input that nothing defines', 'onnx/dangling', modelWith(node('Neg', ['a'], ['b']))],
    ['two nodes making one value', 'onnx/duplicate', modelWith(all(weight([0], 1), identity, identity))],
    ['two weights of one name', 'onnx/duplicate', modelWith(all(weight([0], 1), weight([0], 1)))],
    [
      'two graphs',
      'onnx/duplicate',
      modelWith(
        () => {},
        (w) => w.message(7, () => {}),
      ),
    ],
    ['no operator name', 'onnx/no-op-type', modelWith(node('', [], ['y']))],
    ['an unknown domain', 'onnx/opset', modelWith(node('Foo', [], ['y'], (n) => n.string(7, 'org.example')))],
    ['too few bytes', 'onnx/tensor-size', modelWith(weight([2], 1, raw(7)))],
    ['too many bytes', 'onnx/tensor-size', modelWith(weight([2], 1, raw(9)))],
    ['no bytes', 'onnx/tensor-size', modelWith(weight([2], 1))],
    ['values in a field of another type', 'onnx/tensor-size', modelWith(weight([1], 1, (t) => t.int(5, 1)))],
    ['raw bytes for text', 'onnx/tensor-size', modelWith(weight([0], 8, raw(1)))],
    ['a huge shape', 'onnx/tensor-size', modelWith(weight([2 ** 40, 2 ** 40], 1, raw(4)))],
    ['a shape that overflows 64 bits to nothing', 'onnx/tensor-size', modelWith(weight([2 ** 32, 2 ** 32], 1, raw(0)))],
    ['a negative size', 'onnx/tensor-size', modelWith(weight([-1, -1], 1, raw(4)))],
    ['a complex type', 'onnx/unsupported-type', modelWith(weight([1], 14, raw(8)))],
    ['an unknown type', 'onnx/unsupported-type', modelWith(weight([1], -5, raw(8)))],
    [
      'a sequence as input',
      'onnx/unsupported-type',
      modelWith((g) => g.message(11, (v) => v.message(2, (t) => t.message(4, () => {})))),
    ],
    ['sparse weights', 'onnx/sparse', modelWith((g) => g.message(15, () => {}))],
    [
      'a sparse attribute',
      'onnx/unsupported-attribute',
      modelWith(
        node('Constant', [], ['y'], (n) =>
          n.message(5, (a) => {
            a.string(1, 'sparse_value');
            a.message(22, () => {});
            a.int(20, 11);
          }),
        ),
      ),
    ],
    [
      'a type attribute',
      'onnx/unsupported-attribute',
      modelWith(
        node('Optional', [], ['y'], (n) =>
          n.message(5, (a) => {
            a.string(1, 'type');
            a.message(14, () => {});
            a.int(20, 13);
          }),
        ),
      ),
    ],
    [
      'an attribute given twice',
      'onnx/duplicate',
      modelWith(
        node('Foo', [], ['y'], (n) => {
          for (const value of [1, 2])
            n.message(5, (a) => {
              a.string(1, 'k');
              a.int(3, value);
              a.int(20, 2);
            });
        }),
      ),
    ],
    [
      'a function of its own that reads what nothing defines',
      'onnx/dangling',
      modelWith(callOf('F'), withFunction('F', node('Neg', ['ghost'], ['b'], undefined, 7), 'b')),
    ],
    [
      'a function of its own that waits for itself',
      'onnx/cycle',
      modelWith(
        callOf('F'),
        withFunction('F', all(node('Neg', ['a'], ['b'], undefined, 7), node('Neg', ['b'], ['a'], undefined, 7)), 'b'),
      ),
    ],
    [
      'a function that is defined twice',
      'onnx/duplicate',
      modelWith(
        callOf('F'),
        all(
          withFunction('F', () => {}),
          withFunction('F', () => {}),
        ),
      ),
    ],
    ['text that is not UTF-8', 'onnx/malformed', modelWith((g) => g.bytes(2, Uint8Array.of(0xc3, 0x28)))],
    ['a name where a message belongs', 'onnx/malformed', modelWith((g) => g.int(1, 5))],
    ['an endless number', 'onnx/malformed', modelWith((g) => g.bytes(1, new Uint8Array(20).fill(0xff)))],
  ])('%s is refused as %s', (_what, expected, bytes) => {
    expect(outcome(bytes)).toBe(expected);
  });

  test('lengths up to 2⁶⁴ neither allocate nor read outside', () => {
    for (const length of [
      [0xff, 0xff, 0xff, 0xff, 0x0f],
      [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    ]) {
      expect(outcome(Uint8Array.of(0x08, 0x0a, 0x3a, ...length, 0x0a))).toBe('onnx/truncated');
      const inner = Uint8Array.of(0x0a, ...length, 0x00);
      expect(outcome(Uint8Array.of(0x08, 0x0a, 0x3a, inner.length, ...inner))).toBe('onnx/malformed');
    }
  });

  test('nesting beyond the limit is refused rather than followed', () => {
    let graph: Fill = () => {};
    for (let depth = 0; depth < 40; depth++) {
      const inner = graph;
      graph = node('If', [], [`y${depth}`], (n) =>
        n.message(5, (a) => {
          a.string(1, 'body');
          a.message(6, inner);
          a.int(20, 5);
        }),
      );
    }
    expect(outcome(modelWith(graph))).toBe('onnx/too-deep');
  });

  test('a chain of 200 000 nodes in reverse order is sorted without exhausting the stack', () => {
    const n = 200_000;
    const chain: Fill = (w) => {
      for (let i = n; i > 0; i--) node('Neg', [`${i - 1}`], [`${i}`])(w);
    };
    const input: Fill = (g) =>
      g.message(11, (v) => {
        v.string(1, '0');
        v.message(2, (t) => t.message(1, (x) => x.int(1, 1)));
      });
    const model = parseModel(modelWith(all(chain, input)), 'x.onnx');
    expect(model.graph.nodes[0]?.inputs).toEqual(['0']);
    expect(model.graph.nodes.at(-1)?.outputs).toEqual([`${n}`]);
  });
});

describe('weights beside the model', () => {
  const model = Uint8Array.from(readFileSync('test/golden/onnx/external.onnx'));
  const data = Uint8Array.from(readFileSync('test/golden/onnx/external.data'));
  const place = (...parts: string[]) => {
    const path = join(folder, ...parts);
    mkdirSync(dirname(path), { recursive: true });
    return path;
  };

  test('a link that leads out of the folder is refused, and so is a folder that is one', () => {
    writeFileSync(place('secret', 'external.data'), data);
    writeFileSync(place('taken', 'model.onnx'), model);
    symlinkSync('../secret/external.data', place('taken', 'external.data'));
    expect(() => readModel(join(folder, 'taken', 'model.onnx'))).toThrow(code('onnx/external-outside'));
  });

  test('a link within the folder is followed', () => {
    writeFileSync(place('own', 'model.onnx'), model);
    writeFileSync(place('own', 'data', 'weights.bin'), data);
    symlinkSync('data/weights.bin', place('own', 'external.data'));
    expect(() => readModel(join(folder, 'own', 'model.onnx'))).not.toThrow();
  });

  test('a cache that keeps links to files side by side is read, weights included', () => {
    writeFileSync(place('cache', 'blobs', 'a1'), model);
    writeFileSync(place('cache', 'blobs', 'b2'), data);
    symlinkSync('../../blobs/a1', place('cache', 'snapshots', 'main', 'model.onnx'));
    symlinkSync('../../blobs/b2', place('cache', 'snapshots', 'main', 'external.data'));
    const read = readModel(join(folder, 'cache', 'snapshots', 'main', 'model.onnx'));
    const plain = readModel('test/golden/onnx/external.onnx');
    for (const name of plain.graph.initializers.keys())
      expect(loadInitializer(read, name)).toEqual(loadInitializer(plain, name));
  });
});

describe('lenient where the format is', () => {
  test('packed and single repeated values, 32-bit and 10-byte negative numbers read alike', () => {
    const minusTwo = Uint8Array.of(0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01);
    const single = modelWith(
      weight([2], 7, (t) =>
        all(
          (x) => x.int(7, -2),
          (x) => x.int(7, 300),
        )(t),
      ),
    );
    const packed = modelWith(weight([2], 7, (t) => t.bytes(7, Uint8Array.of(...minusTwo, 0xac, 0x02))));
    for (const bytes of [single, packed]) {
      expect(parseModel(bytes, 'x').graph.initializers.get('w')?.dims).toEqual([2]);
      expect(parseModel(bytes, 'x').graph.initializers.get('w')).toMatchObject({ data: BigInt64Array.of(-2n, 300n) });
    }
    const packedDims = modelWith((g) =>
      g.message(5, (t) =>
        all(
          (x) => x.bytes(1, Uint8Array.of(2, 3)),
          (x) => x.int(2, 2),
          (x) => x.string(8, 'w'),
          (x) => x.bytes(9, new Uint8Array(6)),
        )(t),
      ),
    );
    expect(parseModel(packedDims, 'x').graph.initializers.get('w')?.dims).toEqual([2, 3]);
  });

  test('attributes of IR version 1, which have no type, take that of the field that is set', () => {
    const bytes = modelWith(
      node('Foo', [], ['y'], (n) =>
        n.message(5, (a) =>
          all(
            (x) => x.string(1, 'k'),
            (x) => x.float(2, 1.5),
          )(a),
        ),
      ),
    );
    expect(parseModel(bytes, 'x').graph.nodes[0]?.attributes.get('k')).toEqual({ kind: 'float', value: 1.5 });
  });

  test('the long name of the standard domain means the standard domain', () => {
    const bytes = modelWith(node('Relu', [''], ['y'], (n) => n.string(7, 'ai.onnx')));
    expect(parseModel(bytes, 'x').graph.nodes[0]?.domain).toBe('');
  });
});
