import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Attribute, type Initializer, int, ints, type Model, type Node } from '#models/onnx/ir.ts';
import { parseModel } from '#models/onnx/read.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { Rng } from '#models/tensor/rng.ts';
import { encodeSafetensors } from '#models/tensor/safetensors.ts';
import { f32, i64, type Tensor } from '#models/tensor/tensor.ts';
import { onnxCases } from '#test/support/onnx-cases.ts';

/** Files as a careless copy or a hostile sender would make them: pure functions of the seed. */
export interface HostileFile {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** What was done, for messages. */
  readonly how: string;
}

/** Sizes, counts and offsets that programs stumble over. */
const AWKWARD = [
  -1,
  0,
  1,
  2,
  7,
  255,
  65536,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32,
  2 ** 40,
  2 ** 53,
  2 ** 62,
  -(2 ** 31),
  -(2 ** 63),
];

/** Places outside the model's folder, links among them (`prepare` in the child makes the links), and things that are no files. */
export const LOCATIONS = [
  '../outside.data',
  '/etc/passwd',
  'a/../../outside.data',
  'link.data',
  'linked/outside.data',
  'C:\\Windows\\win.ini',
  '..\\outside.data',
  'weights\0.data',
  '',
  '.',
  'folder',
  'pipe',
  'external.data',
];

/** Cases of the standard that hold every kind of structure: branches, loops, lists, shapes, attributes. */
const BASES =
  /^test_(if|if_seq|loop11|loop13_seq|scan9_sum|sequence_insert_at_back|reshape_negative_dim|conv_with_strides_padding|convtranspose|resize_upsample_scales_nearest|softmax_axis_0|layer_normalization_2d_axis1|attention_4d|gather_elements_0|scatter_elements_with_axis|einsum_transpose|maxpool_2d_pads|averagepool_2d_pads|range_float_type_positive_delta_expanded|gridsample|constantofshape_float_ones|expand_dim_changed|tile|top_k|slice|split_equal_parts_2d|pad_edge|constant_pad|gemm_all_attributes|batchnorm_example|lstm_defaults|group_normalization_example|clip_example_expanded|celu_expanded|sce_mean_expanded|cumsum_1d|onehot_with_axis|depthtospace_example|nllloss_NC_expanded)$/;

let bases: readonly Uint8Array[] | undefined;

function onnxBases(): readonly Uint8Array[] {
  bases ??= [
    ...['all-types.onnx', 'external.onnx'].map((f) =>
      Uint8Array.from(readFileSync(join(import.meta.dirname, '..', 'golden', 'onnx', f))),
    ),
    ...onnxCases()
      .cases.filter((c) => BASES.test(c.name))
      .map((c) => c.bytes),
  ];
  return bases;
}

const pick = <T>(rng: Rng, from: readonly T[]): T => from[Math.floor(rng.uniform() * from.length)]!;
const below = (rng: Rng, n: number) => Math.floor(rng.uniform() * Math.max(1, n));

export function hostileOnnx(seed: number): HostileFile {
  const rng = new Rng(seed).fork('hostile onnx');
  const base = pick(rng, onnxBases());
  const name = `${seed}.onnx`;
  if (rng.uniform() < 0.4) return { name, ...inBytes(rng, base) };
  const [how, change] = pick(rng, Object.entries(STRUCTURAL));
  const model = parseModel(base, 'base');
  change(rng, model);
  const bytes = how === 'deep' ? nested(1 + below(rng, 300)) : encodeModel(model);
  return { name, bytes: Uint8Array.from(bytes), how };
}

/** Changes that know nothing of the format. */
function inBytes(rng: Rng, base: Uint8Array): { bytes: Uint8Array; how: string } {
  const bytes = Uint8Array.from(base);
  const at = below(rng, bytes.length);
  switch (below(rng, 5)) {
    case 0:
      for (let i = 1 + below(rng, 8); i > 0; i--) bytes[below(rng, bytes.length)]! ^= 1 << below(rng, 8);
      return { bytes, how: 'flipped bits' };
    case 1:
      return { bytes: bytes.subarray(0, at), how: 'cut short' };
    case 2: {
      const long = [0xff, 0xff, 0xff, 0xff, ...(rng.uniform() < 0.5 ? [0x0f] : [0xff, 0xff, 0xff, 0xff, 0xff, 0x01])];
      bytes.set(long.slice(0, bytes.length - at), at);
      return { bytes, how: 'a hostile length' };
    }
    case 3: {
      const end = Math.min(bytes.length, at + 1 + below(rng, 40));
      const kept = [
        bytes.subarray(0, at),
        ...(rng.uniform() < 0.5 ? [] : [bytes.subarray(at, end), bytes.subarray(at, end)]),
      ];
      return { bytes: Buffer.concat([...kept, bytes.subarray(end)]), how: 'a piece removed or doubled' };
    }
    default:
      for (let i = at; i < Math.min(bytes.length, at + 16); i++) bytes[i] = below(rng, 256);
      return { bytes, how: 'noise' };
  }
}

const someNode = (rng: Rng, model: Model): Node => pick(rng, model.graph.nodes);
const awkward = (rng: Rng) => pick(rng, AWKWARD);

/** Changes that leave a well-formed file with something else inside. */
const STRUCTURAL: Readonly<Record<string, (rng: Rng, model: Model) => void>> = {
  deep: () => {},
  cycle(rng, { graph }) {
    const [a, b] = [pick(rng, graph.nodes), pick(rng, graph.nodes)];
    if (b.outputs[0]) a.inputs[below(rng, a.inputs.length)] = b.outputs[0];
  },
  'a dangling name'(rng, model) {
    someNode(rng, model).inputs[0] = 'ghost';
  },
  'a renamed output'(rng, model) {
    someNode(rng, model).outputs[0] = pick(rng, ['', 'x', model.graph.outputs[0]?.name ?? 'y']);
  },
  'huge sizes'(rng, { graph }) {
    const info = pick(rng, [...graph.inputs, ...graph.outputs]);
    info.dims = (info.dims ?? [1, 1]).map((d) => (rng.uniform() < 0.6 ? Math.abs(awkward(rng)) : d));
  },
  'a weight of huge size'(rng, { graph }) {
    const external = { location: 'external.data', offset: 0, length: Math.abs(awkward(rng)) };
    graph.initializers.set('w', { dtype: 'float32', dims: [Math.abs(awkward(rng)), 1], external });
  },
  'external data elsewhere'(rng, { graph }) {
    const location = pick(rng, LOCATIONS);
    const external = { location, offset: Math.abs(awkward(rng)) % 64, length: 16 };
    const init: Initializer = { dtype: 'float32', dims: [4], external };
    graph.initializers.set('w', init);
    graph.nodes.push({ opType: 'Neg', domain: '', name: 'n', inputs: ['w'], outputs: ['wy'], attributes: new Map() });
    graph.outputs.push({ name: 'wy', dtype: 'float32', dims: [4] });
  },
  'awkward attributes'(rng, model) {
    for (let i = 0; i < 3; i++) {
      const { attributes } = someNode(rng, model);
      const [key, a] = attributes.size > 0 ? pick(rng, [...attributes]) : (['axis', int(0)] as [string, Attribute]);
      if (a.kind === 'ints') attributes.set(key, ints(a.value.map((v) => (rng.uniform() < 0.5 ? awkward(rng) : v))));
      else if (a.kind === 'int') attributes.set(key, int(awkward(rng)));
      else if (rng.uniform() < 0.5) attributes.delete(key);
      else attributes.set(key, int(1));
    }
  },
  'other operators'(rng, model) {
    someNode(rng, model).opType = pick(rng, onnxBasesOps());
  },
  'awkward constants'(rng, { graph }) {
    const [input] = graph.inputs.filter((i) => i.dtype === 'int64');
    const values = Array.from({ length: 1 + below(rng, 4) }, () => BigInt.asIntN(64, BigInt(awkward(rng))));
    const tensor = rng.uniform() < 0.3 ? i64([], values.slice(0, 1)) : i64([values.length], values);
    graph.initializers.set(input?.name ?? 'k', tensor);
    graph.inputs = graph.inputs.filter((i) => i !== input);
  },
  'another opset'(rng, model) {
    model.opsets.set('', pick(rng, [...AWKWARD, 7, 9, 11, 13, 18]));
  },
  'inputs exchanged'(rng, model) {
    const node = someNode(rng, model);
    if (rng.uniform() < 0.5) node.inputs.reverse();
    else node.inputs.splice(below(rng, node.inputs.length), 1);
  },
  'other element types'(rng, { graph }) {
    const info = pick(rng, [...graph.inputs, ...graph.outputs]);
    info.dtype = pick(rng, ['float64', 'float16', 'bfloat16', 'int8', 'int64', 'bool', 'string', 'uint64']);
  },
};

let opTypes: readonly string[] | undefined;
function onnxBasesOps(): readonly string[] {
  opTypes ??= [...new Set(onnxBases().flatMap((b) => parseModel(b, 'base').graph.nodes.map((n) => n.opType)))];
  return opTypes;
}

/** Branches within branches. */
function nested(depth: number): Uint8Array {
  // Written by hand: the encoder, like the reader, is recursive and meant for graphs that a reader accepted.
  const field = (n: number, body: Uint8Array): Uint8Array =>
    Buffer.concat([Buffer.from([n * 8 + 2]), varint(body.length), body]);
  const text = (n: number, s: string) => field(n, Buffer.from(s));
  let graph: Uint8Array = new Uint8Array();
  for (let i = 0; i < depth; i++) {
    const attribute = Buffer.concat([text(1, 'then_branch'), field(6, graph), Buffer.from([0xa0, 0x01, 5])]);
    graph = field(1, Buffer.concat([text(2, `y${i}`), text(4, 'If'), field(5, attribute)]));
  }
  return Buffer.concat([Buffer.from([8, 10]), field(7, graph), field(8, Buffer.from([16, 17]))]);
}

function varint(value: number): Uint8Array {
  const out: number[] = [];
  for (let v = value; ; v = Math.floor(v / 128)) {
    if (v < 128) return Uint8Array.from([...out, v]);
    out.push((v % 128) | 128);
  }
}

export function hostileSafetensors(seed: number): HostileFile {
  const rng = new Rng(seed).fork('hostile safetensors');
  const base = encodeSafetensors(
    new Map<string, Tensor>([
      ['a.weight', f32([2, 3], [1, 2, 3, 4, 5, 6])],
      ['b', i64([2], [7, 8])],
      ['empty', f32([0, 4], [])],
    ]),
    new Map([['format', 'pt']]),
  );
  const name = `${seed}.safetensors`;
  if (rng.uniform() < 0.5) return { name, ...inBytes(rng, base) };
  const size = Number(Buffer.from(base).readBigUInt64LE(0));
  const header = Buffer.from(base)
    .subarray(8, 8 + size)
    .toString('utf8');
  const number = String(awkward(rng));
  const changes: readonly (readonly [string, string])[] = [
    ['a number', header.replace(pick(rng, [/\d+(?=\])/, /\d+(?=,)/, /(?<=\[)\d+/]), number)],
    [
      'a type',
      header.replace(/"F32"|"I64"/, pick(rng, ['"C64"', '7', 'null', '["F32"]', '"__proto__"', '"constructor"'])),
    ],
    ['a name', header.replace('"a.weight"', pick(rng, ['"__proto__"', '"b"', '""', '"constructor"', '"\\ud800"']))],
    [
      'a shape',
      header.replace(
        '[2,3]',
        pick(rng, ['[]', '[-2,-3]', '[2.5]', '"2"', `[${number},${number}]`, '[4294967296,4294967296]']),
      ),
    ],
    ['nesting', `${'{"a":'.repeat(20_000)}0${'}'.repeat(20_000)}`],
    ['a long list', `{"a":{"dtype":"F32","shape":[${new Array(5000).fill(1)}],"data_offsets":[0,24]}}`],
  ];
  const [how, changed] = pick(rng, changes);
  const text = Buffer.from(changed);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return { name, bytes: Uint8Array.from(Buffer.concat([length, text, base.subarray(8 + size)])), how };
}
