import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { describe, expect, test } from 'vitest';

/** Tells which line or which test was forgotten after adding an operator, a scheduler, a reward, … */

interface Registry {
  readonly kind: string;
  readonly folder: string;
  /** Files of the folder that members have in common. */
  readonly share: readonly string[];
  /** Where the tests of members may also stand. */
  readonly testsIn?: string;
}

const REGISTRIES: readonly Registry[] = [
  { kind: 'operators', folder: 'models/ops', share: ['define'] },
  {
    kind: 'model families',
    folder: 'models/families',
    share: [
      'class-label',
      'exporter',
      'find-folder',
      'foreign',
      'hash-folder',
      'in-words',
      'inspect-folder',
      'latent',
      'layers',
      'model-folder',
      'ports',
      'recognise',
      'text-part',
      'text-shapes',
      'transformer',
    ],
  },
  {
    kind: 'schedulers',
    folder: 'pipelines/schedulers',
    share: [
      'betas',
      'config',
      'initial-sigma',
      'linear',
      'names',
      'prediction',
      'prediction-sigma',
      'sigmas',
      'thresholding',
      'timesteps',
      'variance-preserving',
    ],
  },
  {
    kind: 'decoders',
    folder: 'pipelines/decoding',
    share: [
      'plain',
      'ask',
      'chain',
      'lockstep',
      'search-tree',
      'progress',
      'screen',
      'value',
      'value-data',
      'value-parts',
      'value-training',
      'weights',
      'learn-values',
      'value-clock',
      'value-exam',
      'value-lessons',
      'value-sight',
      'value-source',
      'value-statistics',
      'value-trust',
      'value-words',
    ],
    testsIn: 'pipelines',
  },
  {
    kind: 'rewards',
    folder: 'pipelines/rewards',
    share: [
      'built-in',
      'gradients',
      'guards',
      'line-process',
      'luma',
      'manifest',
      'module-sandbox',
      'open-reward',
      'picture-graph',
      'property',
      'reward-hash',
      'spec',
    ],
  },
  {
    kind: 'rewards of sequences',
    folder: 'pipelines/rewards/sequences',
    share: ['define', 'enzymes', 'ionisation', 'motif-file', 'nucleotides', 'residues'],
  },
  {
    kind: 'algorithms',
    folder: 'pipelines/finetune',
    share: ['d3po-config', 'd3po-forms', 'd3po-graph', 'd3po-loss', 'estimate-d3po', 'probe', 'types'],
  },
  { kind: 'commands', folder: 'pipelines/cli/commands', share: [] },
  { kind: 'engine handlers', folder: 'pipelines/engine/handlers', share: [], testsIn: 'pipelines/engine' },
  {
    kind: 'kinds of jobs',
    folder: 'pipelines/engine/jobs',
    share: [
      'bank-payload',
      'control',
      'journal',
      'open-plain',
      'payloads',
      'pictures',
      'steer-by',
      'steering-payload',
      'values-payload',
      'with-kept',
    ],
    testsIn: 'pipelines/engine',
  },
  { kind: 'migrations', folder: 'pipelines/store/migrations', share: [], testsIn: 'pipelines/store' },
];

const present = REGISTRIES.filter(
  ({ folder }) => existsSync(folder) && readdirSync(folder).some((name) => name.endsWith('.ts')),
);

const sourcesIn = (folder: string): string[] => readdirSync(folder).filter((name) => name.endsWith('.ts'));

/** Project paths that a file imports. */
function importedBy(file: string): string[] {
  return [...readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?\s*'([#.][^']+)'/g)].map(([, specifier]) =>
    specifier!.startsWith('#') ? specifier!.slice(1) : posix.join(posix.dirname(file), specifier!),
  );
}

function reachable(start: string): Set<string> {
  const seen = new Set<string>();
  const queue = [start];
  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    if (seen.has(file) || !existsSync(file)) continue;
    seen.add(file);
    queue.push(...importedBy(file));
  }
  return seen;
}

const tests = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .filter((name) => /\.test\.tsx?$/.test(name))
  .map((name) => posix.join('test', name.replaceAll('\\', '/')));
/** Everything written under `test/models/ops`, where operators are tested by their own names. */
const operatorTests = readdirSync('test/models/ops', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => readFileSync(join('test/models/ops', name), 'utf8'))
  .join('\n');
const testImports = new Map(tests.map((file) => [file, new Set(importedBy(file))]));
const testTexts = new Map(tests.map((file) => [file, readFileSync(file, 'utf8')]));

/**
 * Tested: a test of the same name, or one that imports the file, or one of its area that names the member ('graph grad' as
 * one string or as words, `tune.start` for the handler of `tune`). A file of operators: tests that name each of them; that
 * each has a case of its own is test/models/ops/registry.test.ts's business.
 */
function isTested(folder: string, stem: string, testsIn: string): boolean {
  const operators = [...readFileSync(join(folder, `${stem}.ts`), 'utf8').matchAll(/opType: '(\w+)'/g)].map(
    (m) => m[1]!,
  );
  if (folder === 'models/ops' && operators.length > 0) return operators.every((name) => operatorTests.includes(name));
  const words = stem.split('-');
  const spelled = new RegExp(`['"\`:.](${words.join('[- ]')}|${words.join(`', ?\\s*'`)})['"\`:@.]`);
  return tests.some(
    (file) =>
      file === `test/${folder}/${stem}.test.ts` ||
      testImports.get(file)!.has(`${folder}/${stem}.ts`) ||
      (file.startsWith(`test/${testsIn}`) && spelled.test(testTexts.get(file)!)),
  );
}

describe.each(present)('$kind', ({ folder, share, testsIn = folder }) => {
  const members = sourcesIn(folder)
    .map((name) => name.replace(/\.ts$/, ''))
    .filter((stem) => stem !== 'index' && !share.includes(stem) && !isOnlyTypes(join(folder, `${stem}.ts`)));

  test('have an index', () => {
    expect(existsSync(join(folder, 'index.ts'))).toBe(true);
  });

  test('are all reached from it', () => {
    const found = reachable(`${folder}/index.ts`);
    expect(members.filter((stem) => !found.has(`${folder}/${stem}.ts`))).toEqual([]);
  });

  test('are all tested', () => {
    // Migrations are tested as the row they are applied in.
    if (folder.endsWith('migrations') && tests.some((file) => testImports.get(file)!.has(`${folder}/index.ts`))) return;
    expect(members.filter((stem) => !isTested(folder, stem, testsIn))).toEqual([]);
  });
});

/** A file that exports nothing at run time needs neither a line in the index nor a test. */
function isOnlyTypes(path: string): boolean {
  return !/^export (?!type\b|interface\b)/m.test(readFileSync(path, 'utf8'));
}

test('panels of the window are all in their index', () => {
  const folder = 'renderer/panels';
  if (!existsSync(join(folder, 'index.ts'))) return;
  const text = readFileSync(join(folder, 'index.ts'), 'utf8');
  const panels = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(panels.map((entry) => entry.name).filter((name) => !text.includes(`${name}/`))).toEqual([]);
});
