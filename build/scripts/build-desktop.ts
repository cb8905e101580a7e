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
    return code
      .replaceAll('import.meta.main', 'false')
      .replaceAll('import.meta.dirname', `(import.meta.dirname + "/../../${dirname(path)}")`)
      .replaceAll('import.meta.url', `new URL("../../${path}", import.meta.url).href`);
  },
};

/**
 * Bundles main, engine and compute as ES modules and the preload as one CommonJS file (a sandboxed preload can be nothing
 * else). Returns the folder.
 */
export async function buildDesktop(folder: string = out): Promise<string> {
  const entry = (name: string) => resolve(root, 'electron', name);
  await build({
    configFile: false,
    root,
    logLevel: 'warn',
    plugins: [keepFolders],
    ssr: { noExternal: true, external: EXTERNAL },
    build: {
      ssr: true,
      target: 'node24',
      outDir: folder,
      emptyOutDir: false,
      minify: false,
      rolldownOptions: {
        input: {
          main: entry('main.ts'),
          engine: entry('engine-process.ts'),
          compute: entry('compute-process.ts'),
        },
        external: EXTERNAL,
        // No sub-folder for shared pieces: every bundle lies two levels below the root.
        output: { format: 'es', entryFileNames: '[name].mjs', chunkFileNames: 'shared-[name]-[hash].mjs' },
      },
    },
  });
  await build({
    configFile: false,
    root,
    logLevel: 'warn',
    build: {
      ssr: true,
      target: 'node24',
      outDir: folder,
      emptyOutDir: false,
      minify: false,
      rolldownOptions: {
        input: { preload: entry('preload.ts') },
        external: ['electron'],
        output: { format: 'cjs', entryFileNames: '[name].cjs' },
      },
    },
  });
  return folder;
}
