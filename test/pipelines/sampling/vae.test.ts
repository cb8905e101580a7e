import { afterAll, describe, expect, test } from 'vitest';
import { DATA_TYPE } from '#models/onnx/data-types.ts';
import { type Attribute, int, type Model, type Node, tensorAttribute } from '#models/onnx/ir.ts';
import { encodeModel } from '#models/onnx/write.ts';
import { createBuilder } from '#models/ops/index.ts';
import { createSession, type Session } from '#models/runtime/session.ts';
import { Rng } from '#models/tensor/rng.ts';
import { f32, i64, numel } from '#models/tensor/tensor.ts';
import { createVaeDecoder, createVaeEncoder } from '#pipelines/sampling/vae.ts';
import { decodeBytes, tileForBudget } from '#pipelines/sampling/vae-memory.ts';
import { tinyVaeDecoder, tinyVaeEncoder, withHalfPorts } from '#test/models/families/tiny-graphs.ts';

const opened: Session[] = [];
const open = async (model: Model): Promise<Session> => {
  const session = await createSession(encodeModel(model), { threads: 1 });
  opened.push(session);
  return session;
};
afterAll(async () => {
  for (const session of opened) await session.release();
});

const random = (dims: readonly number[], seed = 1) =>
  f32(dims, new Rng(seed).fillNormal(new Float32Array(numel(dims))));
const furthest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, v, i) => Math.max(most, Math.abs(v - b[i]!)), 0);

/** Two 3×3 convolutions with an enlargement between: a picture element depends on latents up to 1.5 away. */
function localDecoder(): Model {
  const op = createBuilder();
  const weight = (name: string, dims: number[], scale: number) =>
    op.initializer(
      name,
      f32(
        dims,
        new Rng(2)
          .fork(name)
          .fillNormal(new Float32Array(numel(dims)))
          .map((v) => v * scale),
      ),
    );
  const pads = { pads: [1, 1, 1, 1] };
  const x = op.input('latent_sample', 'float32', [1, 4, 8, 8]);
  const first = op.conv(x, weight('first', [6, 4, 3, 3], 0.2), weight('first.bias', [6], 0.2), pads);
  const large = op.apply('Resize', [op.tanh(first), null, op.f32([4], [1, 1, 2, 2])], {
    mode: 'nearest',
    coordinate_transformation_mode: 'asymmetric',
    nearest_mode: 'floor',
  });
  op.output(op.tanh(op.conv(large, weight('last', [3, 6, 3, 3], 0.2), weight('last.bias', [3], 0.1), pads)), 'sample');
  return op.toModel('local', (v) => ['batch', v.dims[1]!, `${v.name}_h`, `${v.name}_w`]);
}

/** The model with a node that asks for 64 TiB where the picture is wider than `most` latents. */
function greedy(model: Model, most: number): Model {
  const node = (
    opType: string,
    inputs: string[],
    output: string,
    attributes: Record<string, Attribute> = {},
  ): Node => ({
    opType,
    domain: '',
    name: output,
    inputs,
    outputs: [output],
    attributes: new Map(Object.entries(attributes)),
  });
  const { graph } = model;
  const initializers = new Map(graph.initializers)
    .set('greedy/most', i64([1], [most]))
    .set('greedy/huge', i64([1], [2 ** 44]))
    .set('greedy/one', i64([1], [1]));
  const nodes = graph.nodes.map((n) => ({
    ...n,
    outputs: n.outputs.map((o) => (o === 'sample' ? 'greedy/sample' : o)),
  }));
  nodes.push(
    node('Shape', ['latent_sample'], 'greedy/width', { start: int(3), end: int(4) }),
    node('Greater', ['greedy/width', 'greedy/most'], 'greedy/wide'),
    node('Cast', ['greedy/wide'], 'greedy/flag', { to: int(DATA_TYPE.int64) }),
    node('Mul', ['greedy/flag', 'greedy/huge'], 'greedy/product'),
    node('Add', ['greedy/product', 'greedy/one'], 'greedy/size'),
    node('ConstantOfShape', ['greedy/size'], 'greedy/zeros', { value: tensorAttribute(f32([1], [0])) }),
    node('ReduceMax', ['greedy/zeros'], 'greedy/zero', { keepdims: int(0) }),
    node('Add', ['greedy/sample', 'greedy/zero'], 'sample'),
  );
  return { ...model, graph: { ...graph, nodes, initializers } };
}

const constants = { scale: 0.5, shift: 0.25, factor: 2 };

describe('the decoder', () => {
  test('is given latents divided by the scale, and then shifted', async () => {
    const session = await open(tinyVaeDecoder(4));
    const latent = random([4, 6, 5]);
    const { picture, tile } = await createVaeDecoder(session, constants).decode(latent);
    const z = latent.data.map((v) => v / 0.5 + 0.25);
    const direct = await session.run({ latent_sample: f32([1, 4, 6, 5], z) });
    expect(picture.dims).toEqual([3, 12, 10]);
    expect(picture.data).toEqual(direct.sample!.data);
    expect(tile).toBeNull();
  });

  test('in 16 bits is the one in 32 up to their rounding', async () => {
    const latent = random([4, 8, 8]);
    const exact = await createVaeDecoder(await open(tinyVaeDecoder(4)), constants).decode(latent);
    const half = await createVaeDecoder(await open(withHalfPorts(tinyVaeDecoder(4))), constants).decode(latent);
    const difference = furthest(half.picture.data, exact.picture.data);
    // Weights and inputs of order one have 11 significant bits.
    expect(difference).toBeLessThan(5e-3);
    expect(difference).toBeGreaterThan(0);
  });

  test.each([1, 2])('fixed to batches of %i gives the same picture', async (batch) => {
    const latent = random([4, 8, 8]);
    const free = await createVaeDecoder(await open(tinyVaeDecoder(4)), constants).decode(latent);
    const fixed = await createVaeDecoder(await open(tinyVaeDecoder(4, { batch })), constants).decode(latent);
    expect(fixed.picture).toEqual(free.picture);
  });

  test('fixed to one size decodes larger latents in tiles of it, and refuses smaller ones', async () => {
    const free = createVaeDecoder(await open(tinyVaeDecoder(4)), constants);
    const fixed = createVaeDecoder(await open(tinyVaeDecoder(4, { side: 8, baked: true })), constants);
    const latent = random([4, 13, 20]);
    const made = await fixed.decode(latent, { tile: 'off' });
    expect(made.tile).toBe(16);
    expect(furthest(made.picture.data, (await free.decode(latent)).picture.data)).toBeLessThan(1e-6);
    await expect(fixed.decode(random([4, 7, 20]))).rejects.toMatchObject({ code: 'vae/size' });
  });

  test('that overflows is reported instead of a black picture', async () => {
    const decoder = createVaeDecoder(await open(withHalfPorts(tinyVaeDecoder(4))), constants);
    const latent = f32([4, 4, 4], new Float32Array(64).fill(Number.NaN));
    await expect(decoder.decode(latent)).rejects.toMatchObject({ code: 'vae/not-finite' });
  });
});

describe('decoding in tiles', () => {
  test('gives what the whole gives, where a picture element depends on no more than a sixteenth of a tile', async () => {
    const decoder = createVaeDecoder(await open(localDecoder()), constants);
    const latent = random([4, 50, 70]);
    const whole = await decoder.decode(latent, { tile: 'off' });
    // 32 latents: 2 of them at each edge are left out, and 1.5 are seen.
    const tiled = await decoder.decode(latent, { tile: 64 });
    expect([whole.tile, tiled.tile]).toEqual([null, 64]);
    expect(furthest(tiled.picture.data, whole.picture.data)).toBeLessThan(1e-6);
    // Below that, what the tiles do not see of each other shows, blended.
    const small = await decoder.decode(latent, { tile: 16 });
    const differences = small.picture.data.map((v, i) => Math.abs(v - whole.picture.data[i]!));
    expect(Math.max(...differences)).toBeGreaterThan(1e-3);
    expect(differences.reduce((a, b) => a + b) / differences.length).toBeLessThan(0.05);
  });

  test('leaves no seam in an even picture', async () => {
    const decoder = createVaeDecoder(await open(localDecoder()), constants);
    const latent = f32([4, 64, 64], new Float32Array(4 * 64 * 64).fill(0.3));
    const { picture } = await decoder.decode(latent, { tile: 64 });
    for (let c = 0; c < 3; c++) {
      const inner = Array.from({ length: 100 }, (_, y) => picture.data[(c * 128 + y + 10) * 128 + y + 10]!);
      expect(Math.max(...inner) - Math.min(...inner)).toBeLessThan(1e-6);
    }
  });

  test('begins where the whole would take more than the budget, the same on every machine', () => {
    // 512 and 768 pixels of a Stable Diffusion decoder are decoded whole, 1024 in tiles that fit.
    expect([tileForBudget(64, 64, 8), tileForBudget(96, 96, 8)]).toEqual([null, null]);
    const side = tileForBudget(128, 128, 8)!;
    expect(side % 8).toBe(0);
    expect(decodeBytes(side, side, 8)).toBeLessThanOrEqual(3 * 2 ** 30);
    expect(decodeBytes(side + 8, side + 8, 8)).toBeGreaterThan(3 * 2 ** 30);
    expect(tileForBudget(128, 128, 8, 1)).toBe(16);
  });

  test('steps down when the runtime has not enough memory, and says so', async () => {
    const decoder = createVaeDecoder(await open(greedy(localDecoder(), 32)), constants);
    const latent = random([4, 40, 80]);
    const said: string[] = [];
    const made = await decoder.decode(latent, { tile: 'off', onSmallerTiles: (message) => said.push(message) });
    expect(made.tile).toBe(64);
    expect(said).toEqual([
      'There was not enough memory to decode the whole picture; trying tiles of 128 pixels.',
      'There was not enough memory to decode tiles of 128; trying tiles of 64 pixels.',
    ]);
    const plain = createVaeDecoder(await open(localDecoder()), constants);
    expect(made.picture).toEqual((await plain.decode(latent, { tile: 64 })).picture);
    // With nothing smaller left the runtime's own words come out.
    const hopeless = createVaeDecoder(await open(greedy(localDecoder(), 1)), constants);
    await expect(hopeless.decode(latent)).rejects.toMatchObject({ code: 'session/run' });
  });
});

describe('the encoder', () => {
  const options = { ...constants, channels: 4 };

  test('with mean and log-variance gives the mode, or a draw of its stream alone', async () => {
    const session = await open(tinyVaeEncoder(4, 'latent_parameters'));
    const encoder = createVaeEncoder(session, options);
    const law = await encoder.encode(random([3, 12, 8]));
    expect(law.dims).toEqual([4, 6, 4]);
    const direct = (await session.run({ sample: f32([1, 3, 12, 8], random([3, 12, 8]).data) })).latent_parameters!;
    const numbers = direct.data as Float32Array;
    expect(law.mean).toEqual(numbers.slice(0, 96));
    law.std!.forEach((s, i) => {
      expect(s).toBeCloseTo(Math.sqrt(Math.exp(numbers[96 + i]!)), 5);
    });
    const mode = encoder.latent(law, null);
    mode.forEach((v, i) => {
      expect(v).toBeCloseTo((law.mean[i]! - 0.25) * 0.5, 6);
    });
    const draw = (label: string) => encoder.latent(law, new Rng(4).fork(label));
    expect(draw('a')).toEqual(draw('a'));
    expect(draw('a')).not.toEqual(draw('b'));
  });

  test('draws have the law that the network says', async () => {
    const encoder = createVaeEncoder(await open(tinyVaeEncoder(4, 'latent_parameters')), {
      ...options,
      scale: 1,
      shift: 0,
    });
    const law = { dims: [1, 100, 100], mean: new Float32Array(1e4).fill(2), std: new Float32Array(1e4).fill(0.5) };
    const drawn = encoder.latent(law, new Rng(9));
    const mean = drawn.reduce((a, b) => a + b) / 1e4;
    const variance = drawn.reduce((a, v) => a + (v - mean) ** 2, 0) / 1e4;
    expect(Math.abs(mean - 2)).toBeLessThan((4 * 0.5) / 100);
    expect(Math.abs(variance / 0.25 - 1)).toBeLessThan(4 * Math.sqrt(2 / 1e4));
  });

  test('that drew already is taken at its word', async () => {
    const session = await open(tinyVaeEncoder(4, 'latent_sample'));
    const encoder = createVaeEncoder(session, options);
    const law = await encoder.encode(random([3, 8, 8]));
    expect(law.std).toBeNull();
    expect(encoder.latent(law, new Rng(1))).toEqual(encoder.latent(law, null));
  });

  test('of another model is refused by its channels', async () => {
    const encoder = createVaeEncoder(await open(tinyVaeEncoder(4, 'latent_parameters')), { ...options, channels: 16 });
    await expect(encoder.encode(random([3, 8, 8]))).rejects.toMatchObject({ code: 'vae/channels' });
  });

  test('is undone by the decoder in the constants: scale and shift cancel', async () => {
    const encoder = createVaeEncoder(await open(tinyVaeEncoder(4, 'latent_sample')), options);
    const session = await open(tinyVaeDecoder(4));
    const law = await encoder.encode(random([3, 8, 8]));
    const direct = (await session.run({ latent_sample: f32([1, ...law.dims], law.mean) })).sample!;
    const { picture } = await createVaeDecoder(session, constants).decode(f32(law.dims, encoder.latent(law, null)));
    expect(furthest(picture.data, direct.data as Float32Array)).toBeLessThan(1e-6);
  });
});
