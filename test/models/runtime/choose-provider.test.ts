import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chooseProvider, trustProvider } from '#models/runtime/choose-provider.ts';
import { compareOutputs, placement, type TrialGraph } from '#models/runtime/graph-trial.ts';
import { f32, i64, type Tensor } from '#models/tensor/tensor.ts';
import { userDataFolder } from '#models/user-data-folder.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'northlight-choose-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const FEEDS = { x: f32([2], [3, 4]) };
const graph: TrialGraph = { bytes: new Uint8Array([1, 2, 3]), feeds: FEEDS };

/** A child process of its own making: what it does for each provider; `give(seconds, values)` answers as a sound one does. */
function probe(name: string, behaviour: Partial<Record<'cpu' | 'webgpu' | 'cuda', string>>): URL {
  const file = join(folder, `${name}.mjs`);
  writeFileSync(
    file,
    `import { appendFileSync, writeFileSync } from 'node:fs';
     import { join } from 'node:path';
     const [, , provider, work] = process.argv;
     appendFileSync('${join(folder, `${name}.log`)}', provider + '\\n');
     const give = (seconds, values) => {
       const header = Buffer.from(JSON.stringify({
         y: { dtype: 'F32', shape: [values.length], data_offsets: [0, 4 * values.length] },
       }));
       const size = Buffer.alloc(8);
       size.writeBigUInt64LE(BigInt(header.length));
       const data = Buffer.from(new Float32Array(values).buffer);
       writeFileSync(join(work, 'outputs.safetensors'), Buffer.concat([size, header, data]));
       process.send({ seconds, firstSeconds: 2 * seconds, loadSeconds: 0.5 }, () => process.exit(0));
     };
     const behaviour = { ${Object.entries({ cpu: 'give(0.1, [3, 4])', ...behaviour })
       .map(([provider, code]) => `${provider}() { ${code} }`)
       .join(', ')} };
     behaviour[provider]();`,
  );
  return pathToFileURL(file);
}
const runsOf = (name: string) => readdirSync(folder).includes(`${name}.log`);

const trial = (name: string, webgpu: string, options = {}) =>
  trustProvider('webgpu', graph, { probe: probe(name, { webgpu }), cacheFolder: null, ...options });

describe('a provider is trusted with a graph when it ran it and agrees with the CPU', () => {
  test('agreement is the norm of the difference over the norm, and time is its own', async () => {
    const near = await trial('near', 'give(0.25, [3, 4.005])');
    expect(near).toMatchObject({ trusted: true, reason: '', seconds: 0.25, startSeconds: 1, worst: 'y' });
    expect(near.agreement).toBeCloseTo(0.005 / 5, 6);
  });

  test('a result that is off by more than a hundredth of its norm is refused, naming the output', async () => {
    const off = await trial('off', 'give(0.01, [3, 4.2])');
    expect(off).toMatchObject({ trusted: false, seconds: 0.01 });
    expect(off.reason).toMatch(/"y" differs from the CPU's by 0\.040/);
  });

  test.each([
    ['aborts', 'process.abort();', {}, /The driver ended the process \(SIGABRT\)/],
    ['hangs', 'setInterval(() => {}, 1000);', { timeoutMs: 1500 }, /No answer within 1\.5 s/],
    ['answers nonsense', 'process.send({ hello: 1 }, () => process.exit(0));', {}, /nonsense/],
    ['says why', `process.send({ reason: 'No adapter.' }, () => process.exit(0));`, {}, /^No adapter\.$/],
  ])('a driver that %s is refused with the reason', async (name, code, options, reason) => {
    const refused = await trial(name.replaceAll(' ', '-'), code, options);
    expect(refused).toMatchObject({ trusted: false, seconds: null, agreement: null });
    expect(refused.reason).toMatch(reason);
  });

  test('a graph that the CPU cannot run is trusted to nobody', async () => {
    const broken = probe('no-cpu', { cpu: 'process.exit(3)', webgpu: 'give(0.1, [3, 4])' });
    const refused = await trustProvider('webgpu', graph, { probe: broken, cacheFolder: null });
    expect(refused.trusted).toBe(false);
    expect(refused.reason).toMatch(/CPU gave nothing to compare with: .*exit code 3/);
  });
});

describe('the choice', () => {
  const choose = (name: string, behaviour: Parameters<typeof probe>[1], wanted: 'auto' | 'webgpu' | 'cpu' = 'auto') =>
    chooseProvider(wanted, graph, {
      probe: probe(name, behaviour),
      cacheFolder: null,
      candidates: ['cpu', 'webgpu', 'cuda'],
    });

  test('is the fastest that agrees, and says what spoke against the others', async () => {
    const choice = await choose('fast', { webgpu: 'give(0.02, [3, 4])', cuda: 'give(0.001, [0, 0])' });
    expect(choice).toMatchObject({ provider: 'webgpu', seconds: 0.02, agreement: 0 });
    expect(choice.others.map((o) => o.provider)).toEqual(['cpu', 'cuda']);
    expect(choice.others[0]!.why).toMatch(/100 ms a run against 20\.0 ms/);
    expect(choice.others[1]!.why).toMatch(/differs from the CPU's by 1\.0/);
  });

  test('is the CPU when nothing is at least a tenth faster', async () => {
    const choice = await choose('tie', { webgpu: 'give(0.095, [3, 4])', cuda: 'process.exit(1)' });
    expect(choice).toMatchObject({ provider: 'cpu', seconds: 0.1 });
  });

  test('asking for the CPU measures nothing', async () => {
    expect(await choose('asked', {}, 'cpu')).toMatchObject({ provider: 'cpu', trials: [] });
    expect(runsOf('asked')).toBe(false);
  });

  test('a provider asked for by name is taken when slow, and refused when wrong', async () => {
    expect(await choose('slow', { webgpu: 'give(9, [3, 4])' }, 'webgpu')).toMatchObject({
      provider: 'webgpu',
      seconds: 9,
    });
    await expect(choose('wrong', { webgpu: 'give(0.01, [4, 3])' }, 'webgpu')).rejects.toMatchObject({
      code: 'provider/refused',
      message: expect.stringContaining('webgpu cannot be trusted with this graph'),
    });
  });

  test('is kept per graph: the same graph is not run twice, another one is', async () => {
    const cacheFolder = join(folder, 'cache');
    const sound = { probe: probe('kept', { webgpu: 'give(0.02, [3, 4])' }), cacheFolder };
    const first = await trustProvider('webgpu', graph, sound);
    const broken = { probe: probe('broken', { webgpu: 'process.exit(1)' }), cacheFolder };
    expect(await trustProvider('webgpu', graph, broken)).toEqual(first);
    const other = { ...graph, bytes: new Uint8Array([1, 2, 4]) };
    expect(await trustProvider('webgpu', other, broken)).toMatchObject({ trusted: false });
    const larger = { ...graph, feeds: { x: f32([4], [1, 2, 3, 4]) } };
    expect(await trustProvider('webgpu', larger, broken)).toMatchObject({ trusted: false });
  });
});

describe('comparing outputs', () => {
  const compare = (a: Tensor, b: Tensor) => compareOutputs(new Map([['y', a]]), new Map([['y', b]])).agreement;

  test('other shapes, other types and numbers that are none are infinitely wrong', () => {
    expect(compare(f32([1], [1]), f32([1, 1], [1]))).toBe(Number.POSITIVE_INFINITY);
    expect(compare(f32([1], [1]), i64([1], [1]))).toBe(Number.POSITIVE_INFINITY);
    expect(compare(f32([1], [Number.NaN]), f32([1], [1]))).toBe(Number.POSITIVE_INFINITY);
    expect(compareOutputs(new Map(), new Map([['y', f32([1], [1])]])).agreement).toBe(Number.POSITIVE_INFINITY);
  });

  test('gradients are measured among themselves, so that a large output does not hide them', () => {
    const reference = new Map([
      ['out', f32([1], [1e6])],
      ['grad/w', f32([1], [1])],
    ]);
    expect(compareOutputs(new Map([...reference, ['grad/w', f32([1], [2])]]), reference).agreement).toBe(1);
  });

  test('zero agrees with zero', () => {
    expect(compare(f32([2], [0, 0]), f32([2], [0, -0]))).toBe(0);
  });

  test('integers agree exactly or by the share that does not', () => {
    expect(compare(i64([4], [1, 2, 3, 4]), i64([4], [1, 2, 3, 5]))).toBe(0.25);
  });

  test('an output that is zero but for rounding is measured against the largest one', () => {
    const reference = new Map([
      ['big', f32([1], [1000])],
      ['none', f32([1], [1e-12])],
    ]);
    const { agreement } = compareOutputs(new Map([...reference, ['none', f32([1], [1e-9])]]), reference);
    // 10⁻⁹ against a ten-thousandth of the largest.
    expect(agreement).toBeCloseTo(1e-8, 9);
  });
});

describe('who runs which node', () => {
  const line = (text: string) =>
    `2026-01-01 [V:onnxruntime:, session_state.cc:1 VerifyEachNodeIsAssignedToAnEp] ${text}`;

  test('nodes left to the CPU are counted by operator', () => {
    const log = [
      line(' Node(s) placed on [WebGpuExecutionProvider]. Number of nodes: 2'),
      line('  Mul (a)'),
      line('  com.microsoft.Gelu (b)'),
      line(' Node(s) placed on [CPUExecutionProvider]. Number of nodes: 3'),
      line('  Loop (l)'),
      line('  Gather (/emb/Gather (1))'),
      line('  Gather (g2)'),
    ].join('\n');
    expect(placement(log, 'webgpu')).toEqual({
      nodes: 5,
      leftToCpu: [
        { opType: 'Loop', count: 1, nodes: ['l'] },
        { opType: 'Gather', count: 2, nodes: ['/emb/Gather (1)', 'g2'] },
      ],
    });
  });

  test('a provider that takes nothing is said so', () => {
    const log = line(' All nodes placed on [CPUExecutionProvider]. Number of nodes: 7');
    expect(placement(log, 'webgpu')).toEqual({
      nodes: 7,
      leftToCpu: [{ opType: 'every operator', count: 7, nodes: [] }],
    });
    expect(placement(log, 'cpu')).toEqual({ nodes: 7, leftToCpu: [] });
  });
});

test('what was found out is kept where each system keeps such things', () => {
  expect(userDataFolder('linux', {}, '/home/a')).toBe(join('/home/a', '.local', 'share', 'northlight'));
  expect(userDataFolder('linux', { XDG_DATA_HOME: '/data' }, '/home/a')).toBe(join('/data', 'northlight'));
  expect(userDataFolder('darwin', {}, '/Users/a')).toBe(
    join('/Users/a', 'Library', 'Application Support', 'Northlight'),
  );
  expect(userDataFolder('win32', { LOCALAPPDATA: 'C:\\L' }, 'C:\\a')).toBe(join('C:\\L', 'Northlight'));
});
