import { builtinModules } from 'node:module';
import { dirname, relative, resolve, sep } from 'node:path';
import { build, type Plugin } from 'vite';

const root = resolve(import.meta.dirname, '../..');
const out = resolve(root, 'build/out');

/** Native packages and Electron stay outside the bundles: they find their libraries beside themselves. */
const EXTERNAL = [
  'electron',
  'onnxruntime-node',
  'sharp',
  ...builtinModules,
  ...builtinModules.map((m) => `node:${m}`),
];

/**
 * A source file that looks for files beside itself keeps finding them: its own folder is spelled out from `build/out`, which
 * lies two levels below the root, wherever the bundle puts the code.
 */
const keepFolders: Plugin = {
  name: 'keep-folders',
  transform(code, id) {
    if (!id.startsWith(root + sep) || id.includes('node_modules') || !code.includes('import.meta')) return null;
    const path = relative(root, id).split(sep).join('/');
    const here = `new URL("../../${path}", import.meta.url).href`;
    return (
      code
        .replaceAll('import.meta.main', 'false')
        .replaceAll('import.meta.dirname', `(import.meta.dirname + "/../../${dirname(path)}")`)
        .replaceAll('import.meta.url', here)
        // The script of a child process or a thread is a bundle of its own, beside this one.
        .replaceAll(
          /new URL\(['"]\.\/(probe-[\w-]+|module-sandbox|token-worker)\.ts['"], new URL\([^)]*\)\.href\)/g,
          "new URL('./$1.mjs', import.meta.url)",
        )
    );
  },
};

const ENTRIES = {
  main: 'electron/main.ts',
  engine: 'electron/engine-process.ts',
  compute: 'electron/compute-process.ts',
  'probe-graph': 'models/runtime/probe-graph.ts',
  'module-sandbox': 'pipelines/rewards/module-sandbox.ts',
  'token-worker': 'pipelines/engine/token-worker.ts',
} as const;

const common = (folder: string) =>
  ({
    ssr: true,
    target: 'node24',
    outDir: folder,
    emptyOutDir: false,
    minify: false,
    reportCompressedSize: false,
  }) as const;

/** Bundles main, engine, compute, the provider probe, the sandbox of modules and the counter of tokens as ES modules. */
export async function buildProcesses(
  folder: string = out,
  names: readonly (keyof typeof ENTRIES)[] = [
    'main',
    'engine',
    'compute',
    'probe-graph',
    'module-sandbox',
    'token-worker',
  ],
): Promise<void> {
  await build({
    configFile: false,
    root,
    logLevel: 'warn',
    plugins: [keepFolders],
    ssr: { noExternal: true, external: EXTERNAL },
    build: {
      ...common(folder),
      rolldownOptions: {
        input: Object.fromEntries(names.map((name) => [name, resolve(root, ENTRIES[name])])),
        external: EXTERNAL,
        // No sub-folder for shared pieces: every bundle lies two levels below the root.
        output: { format: 'es', entryFileNames: '[name].mjs', chunkFileNames: 'shared-[name]-[hash].mjs' },
      },
    },
  });
}

/** Bundles the preload as one CommonJS file: a sandboxed preload can be nothing else. */
export async function buildPreload(folder: string = out): Promise<void> {
  await build({
    configFile: false,
    root,
    logLevel: 'warn',
    build: {
      ...common(folder),
      rolldownOptions: {
        input: { preload: resolve(root, 'electron/preload.ts') },
        external: ['electron'],
        output: { format: 'cjs', entryFileNames: '[name].cjs' },
      },
    },
  });
}
