import { fc } from '@fast-check/vitest';
import type { Attribute, Dim, Graph, Initializer, Model, Node, ValueInfo } from '#models/onnx/ir.ts';
import { BYTES_PER_ELEMENT, type DType, fromBytes, sizeBytes, type Tensor } from '#models/tensor/tensor.ts';

/** Random models that are valid but mean nothing: every kind of attribute, type, dimension and nesting the IR can hold. */

const text = fc.string({ unit: 'grapheme', maxLength: 8 });
const float32 = fc.float(); // NaN and infinities included
const wholeNumber = fc.oneof(fc.integer(), fc.maxSafeInteger(), fc.constantFrom(-(2 ** 63), 2 ** 63, 0));
const dtype = fc.constantFrom<DType>(...(Object.keys(BYTES_PER_ELEMENT) as DType[]));
const dim = fc.oneof<fc.Arbitrary<Dim>[]>(
  fc.nat(),
  text.map((s) => s || null),
  fc.constant(null),
);

export const anyTensor: fc.Arbitrary<Tensor> = fc
  .tuple(dtype, fc.array(fc.nat(3), { maxLength: 3 }))
  .chain(([d, dims]): fc.Arbitrary<Tensor> => {
    const n = dims.reduce((a, b) => a * b, 1);
    if (d === 'string') {
      return fc.array(text, { minLength: n, maxLength: n }).map((data) => ({ dtype: d, dims, data }));
    }
    const bytes = sizeBytes(d, n);
    return fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((raw) => fromBytes(d, dims, Uint8Array.from(raw)));
  });

const valueType = fc.record({ dtype, dims: fc.option(fc.array(dim, { maxLength: 4 })) });

function attribute(depth: number): fc.Arbitrary<Attribute> {
  const kinds: fc.Arbitrary<Attribute>[] = [
    wholeNumber.map((value) => ({ kind: 'int', value })),
    float32.map((value) => ({ kind: 'float', value })),
    text.map((value) => ({ kind: 'string', value })),
    fc.array(wholeNumber, { maxLength: 4 }).map((value) => ({ kind: 'ints', value })),
    fc.array(float32, { maxLength: 4 }).map((value) => ({ kind: 'floats', value })),
    fc.array(text, { maxLength: 3 }).map((value) => ({ kind: 'strings', value })),
    anyTensor.map((value) => ({ kind: 'tensor', value })),
  ];
  if (depth < 2) kinds.push(graph(depth + 1, `g${depth + 1}/`).map((value) => ({ kind: 'graph', value })));
  return fc.oneof(...kinds);
}

/** Names are numbered under `prefix`, so that graphs never clash; nodes read any earlier value or omit an input. */
function graph(depth: number, prefix: string): fc.Arbitrary<Graph> {
  const nodeShape = fc.record({
    opType: fc.constantFrom('Add', 'Foo', 'Constant'),
    domain: fc.constantFrom('', 'com.example'),
    name: text,
    reads: fc.array(fc.nat(), { maxLength: 3 }),
    outputs: fc.integer({ min: 1, max: 2 }),
    attributes: fc.dictionary(text, attribute(depth), { maxKeys: depth === 0 ? 4 : 2 }),
  });
  return fc
    .record({
      name: text,
      inputs: fc.array(valueType, { maxLength: 3 }),
      weights: fc.array(anyTensor, { maxLength: 3 }),
      nodes: fc.array(nodeShape, { maxLength: depth === 0 ? 5 : 2 }),
      outputs: fc.array(fc.tuple(fc.nat(), valueType), { maxLength: 2 }),
      known: fc.array(fc.option(valueType), { maxLength: 5 }),
    })
    .map((made): Graph => {
      const values: string[] = [];
      const next = () => {
        const id = `${prefix}${values.length}`;
        values.push(id);
        return id;
      };
      const inputs: ValueInfo[] = made.inputs.map((type) => ({ name: next(), ...type }));
      const initializers = new Map<string, Initializer>(made.weights.map((w) => [next(), w]));
      const intermediate: string[] = [];
      const nodes = made.nodes.map((n): Node => {
        const read = n.reads.map((r) => (r % 5 === 0 || values.length === 0 ? '' : values[r % values.length]!));
        const outputs = Array.from({ length: n.outputs }, next);
        intermediate.push(...outputs);
        const { opType, domain, name } = n;
        return { opType, domain, name, inputs: read, outputs, attributes: new Map(Object.entries(n.attributes)) };
      });
      const outputNames = new Set(
        made.outputs.flatMap(([r]) => (values.length === 0 ? [] : [values[r % values.length]!])),
      );
      const outputs = [...outputNames].map((name, i): ValueInfo => ({ name, ...made.outputs[i]![1] }));
      const valueInfo = new Map<string, ValueInfo>();
      for (const [i, name] of intermediate.entries()) {
        const type = made.known[i];
        if (type && !outputNames.has(name)) valueInfo.set(name, { name, ...type });
      }
      return { name: made.name, nodes, inputs, outputs, initializers, valueInfo };
    });
}

export const anyModel: fc.Arbitrary<Model> = fc.record({
  irVersion: fc.integer({ min: 4, max: 13 }),
  producerName: text,
  opsets: fc.constant(
    new Map([
      ['', 17],
      ['com.example', 3],
    ]),
  ),
  metadata: fc.dictionary(text, text, { maxKeys: 3 }).map((d) => new Map(Object.entries(d))),
  graph: graph(0, 'v'),
});
