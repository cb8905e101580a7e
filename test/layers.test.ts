import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { describe, expect, test } from 'vitest';

/** The map of the house: who may import whom. Read off the source itself, so that it holds for every file there is. */

interface Import {
  readonly from: string;
  readonly specifier: string;
  /** Path of the imported file for imports within the project, else undefined. */
  readonly target: string | undefined;
  readonly line: number;
}

const ROOTS = ['models', 'pipelines', 'electron', 'renderer', 'test', 'build'];
const SKIPPED = new Set(['node_modules', 'out']);

function walk(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(folder, entry.name);
    if (entry.isDirectory()) return SKIPPED.has(entry.name) ? [] : walk(path);
    return /\.tsx?$/.test(entry.name) ? [path] : [];
  });
}

/** Static, dynamic and re-exporting imports; not those in comments. */
const IMPORT = /(?:\bfrom\s*|\bimport\s*\(\s*|^\s*import\s+)(['"])([^'"\n]+)\1/gm;

function importsOf(file: string): Import[] {
  const text = readFileSync(file, 'utf8').replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, (comment) =>
    comment.replaceAll(/[^\n]/g, ' '),
  );
  return [...text.matchAll(IMPORT)].map((match) => {
    const specifier = match[2]!;
    const target = specifier.startsWith('#')
      ? specifier.slice(1)
      : specifier.startsWith('.')
        ? posix.join(posix.dirname(file), specifier)
        : undefined;
    return { from: file, specifier, target, line: text.slice(0, match.index).split('\n').length };
  });
}

const files = ROOTS.flatMap(walk);
const imports = files.flatMap(importsOf);
// Code inside strings that tests run elsewhere is not an import of the test.
const source = imports.filter((i) => !i.from.startsWith('test/'));
const show = (list: readonly Import[]) => list.map((i) => `${i.from}:${i.line} imports ${i.specifier}`);
const isIn = (path: string, folder: string) => path === folder || path.startsWith(`${folder}/`);

test('the scan sees the project', () => {
  expect(files.length).toBeGreaterThan(50);
  expect(imports.filter((i) => i.from === 'models/files.ts').map((i) => i.specifier)).toContain('#models/errors.ts');
});

describe('every import', () => {
  test('within the project leads to a file that exists', () => {
    expect(show(source.filter((i) => i.target !== undefined && !existsSync(i.target.replace(/\?.*$/, ''))))).toEqual(
      [],
    );
  });

  test('never climbs with ../', () => {
    expect(show(source.filter((i) => i.specifier.startsWith('..')))).toEqual([]);
  });

  test('is relative only inside its own folder', () => {
    const wrong = source.filter(
      (i) => i.specifier.startsWith('.') && i.target !== undefined && dirname(i.target) !== dirname(i.from),
    );
    // An index may name the files of its sub-folders, and a panel its own parts.
    expect(show(wrong.filter((i) => !i.target!.startsWith(`${dirname(i.from)}/`)))).toEqual([]);
  });
});

describe('each native or special package is imported in its one place', () => {
  test.each([
    ['onnxruntime-node', (path: string) => path === 'models/runtime/session.ts'],
    ['sharp', (path: string) => isIn(path, 'pipelines/images')],
    ['node:sqlite', (path: string) => path === 'pipelines/store/db.ts'],
    ['electron', (path: string) => isIn(path, 'electron')],
    ['ws', (path: string) => isIn(path, 'pipelines/engine')],
    ['react', (path: string) => isIn(path, 'renderer')],
  ])('%s', (name, allowed) => {
    const users = source.filter((i) => i.specifier === name || i.specifier.startsWith(`${name}/`));
    expect(show(users.filter((i) => !allowed(i.from)))).toEqual([]);
    expect(users.length).toBeGreaterThan(0);
  });

  test('sharp has one file', () => {
    expect(new Set(source.filter((i) => i.specifier === 'sharp').map((i) => i.from)).size).toBe(1);
  });
});

describe('imports point down', () => {
  const between = (from: string, to: (target: string) => boolean) =>
    show(source.filter((i) => isIn(i.from, from) && i.target !== undefined && to(i.target)));

  test('models/ knows nothing above it', () => {
    expect(between('models', (target) => !isIn(target, 'models'))).toEqual([]);
  });

  /** Lowest first: a folder may import itself and what stands before it. */
  const MODELS = ['tensor', 'onnx', 'ops', 'autodiff', 'runtime', 'training', 'families', 'bundled'];
  test.each(MODELS)('models/%s imports only what stands before it', (folder) => {
    const allowed = MODELS.slice(0, MODELS.indexOf(folder) + 1).map((name) => `models/${name}`);
    const isAllowed = (target: string) =>
      /^models\/[^/]+\.ts$/.test(target) || allowed.some((name) => isIn(target, name));
    expect(between(`models/${folder}`, (target) => !isAllowed(target))).toEqual([]);
  });

  test('no other folder of models/ exists unplaced', () => {
    const there = readdirSync('models', { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(there.map((entry) => entry.name).filter((name) => !MODELS.includes(name))).toEqual([]);
  });

  test('pipelines/ knows models/ and itself', () => {
    expect(between('pipelines', (target) => !isIn(target, 'models') && !isIn(target, 'pipelines'))).toEqual([]);
  });

  test('below the engine and the command line nobody imports either', () => {
    const low = source.filter(
      (i) => isIn(i.from, 'pipelines') && !isIn(i.from, 'pipelines/engine') && !isIn(i.from, 'pipelines/cli'),
    );
    const up = low.filter(
      (i) => i.target !== undefined && (isIn(i.target, 'pipelines/engine') || isIn(i.target, 'pipelines/cli')),
    );
    expect(show(up)).toEqual([]);
  });

  test('the engine does not import the command line', () => {
    expect(between('pipelines/engine', (target) => isIn(target, 'pipelines/cli'))).toEqual([]);
  });

  test('folders of pipelines/ import one another without a cycle', () => {
    const folderOf = (path: string) => path.split('/').slice(0, 2).join('/');
    const edges = new Map<string, Set<string>>();
    for (const { from, target } of source) {
      if (target === undefined || !isIn(from, 'pipelines') || !isIn(target, 'pipelines')) continue;
      if (folderOf(from) !== folderOf(target))
        edges.set(folderOf(from), (edges.get(folderOf(from)) ?? new Set()).add(folderOf(target)));
    }
    expect(findCycle(edges)).toBeUndefined();
  });

  test('files import one another without a cycle', () => {
    const edges = new Map<string, Set<string>>();
    for (const { from, target } of source) {
      if (target !== undefined) edges.set(from, (edges.get(from) ?? new Set()).add(target));
    }
    expect(findCycle(edges)).toBeUndefined();
  });

  test('the window sees the engine’s contract and nothing else of the project', () => {
    expect(
      between('renderer', (target) => !isIn(target, 'renderer') && target !== 'pipelines/engine/contract.ts'),
    ).toEqual([]);
  });

  test('panels never import one another', () => {
    const panelOf = (path: string) => /^renderer\/panels\/([^/]+)\//.exec(path)?.[1];
    const crossing = source.filter((i) => {
      const [from, to] = [panelOf(i.from), panelOf(i.target ?? '')];
      return from !== undefined && to !== undefined && from !== to;
    });
    expect(show(crossing)).toEqual([]);
  });

  test('the desktop knows the engine, not the window’s source', () => {
    expect(
      between('electron', (target) => isIn(target, 'renderer') || isIn(target, 'test') || isIn(target, 'build')),
    ).toEqual([]);
  });

  test('nothing that ships imports tests', () => {
    expect(
      show(source.filter((i) => !isIn(i.from, 'build') && i.target !== undefined && isIn(i.target, 'test'))),
    ).toEqual([]);
  });
});

/** A cycle as a list of folders or files, or undefined. */
function findCycle(edges: ReadonlyMap<string, ReadonlySet<string>>): string[] | undefined {
  const done = new Set<string>();
  const visit = (node: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node];
    if (done.has(node)) return undefined;
    for (const next of edges.get(node) ?? []) {
      const cycle = visit(next, [...path, node]);
      if (cycle !== undefined) return cycle;
    }
    done.add(node);
    return undefined;
  };
  for (const node of edges.keys()) {
    const cycle = visit(node, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

test('a cycle is found when there is one', () => {
  expect(
    findCycle(
      new Map([
        ['a', new Set(['b'])],
        ['b', new Set(['c'])],
        ['c', new Set(['b'])],
      ]),
    ),
  ).toEqual(['b', 'c', 'b']);
  expect(
    findCycle(
      new Map([
        ['a', new Set(['b', 'c'])],
        ['b', new Set(['c'])],
      ]),
    ),
  ).toBeUndefined();
});

const REGISTRIES = [
  'models/ops',
  'models/families',
  'pipelines/schedulers',
  'pipelines/decoding',
  'pipelines/rewards',
  'pipelines/finetune',
  'pipelines/cli/commands',
  'pipelines/store/migrations',
  'pipelines/engine/handlers',
  'pipelines/recipes',
];

/** Names that a file imports from files of its own folder: `file → names`. */
function namesFrom(file: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  const text = readFileSync(file, 'utf8');
  for (const [, names, dynamic, target] of text.matchAll(/import (?:\{([^}]*)\} from|(\w+) from) '\.\/([^']+)'/g)) {
    const list = (names ?? dynamic ?? '').split(',').map((name) => name.trim().split(' as ')[0]!);
    found.set(
      posix.join(dirname(file), target!),
      list.filter((name) => name !== '' && !name.startsWith('type ')),
    );
  }
  return found;
}

/** What an index and members use alike, without being registered. */
const HELPERS = new Set(['pipelines/decoding/value.ts']);

/** What an index registers is a member. A helper in a member's file may be shared; the member itself may not. */
describe('members of a registry do not use one another', () => {
  test.each(REGISTRIES.filter((folder) => existsSync(join(folder, 'index.ts'))))('%s', (folder) => {
    const registered = namesFrom(`${folder}/index.ts`);
    const wrong = walk(folder)
      .filter((file) => registered.has(file))
      .flatMap((file) =>
        [...namesFrom(file)].flatMap(([target, names]) =>
          names
            .filter((name) => !HELPERS.has(target) && registered.get(target)?.includes(name))
            .map((name) => `${file} uses ${name} of ${target}`),
        ),
      );
    expect(wrong).toEqual([]);
  });
});
