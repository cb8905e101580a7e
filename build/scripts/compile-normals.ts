import { readFileSync, writeFileSync } from 'node:fs';
import asc from 'assemblyscript/asc';
import { NorthlightError } from '#models/errors.ts';

const SOURCE = 'models/tensor/normals.as';
/** Where the compiled module is kept. */
export const NORMALS_MODULE = new URL('../../models/tensor/normals-wasm.ts', import.meta.url);

/** The module that holds the compiled code of models/tensor/normals.as. */
export async function compileNormals(): Promise<string> {
  const source = readFileSync(new URL(`../../${SOURCE}`, import.meta.url), 'utf8');
  let wasm: Uint8Array | undefined;
  const flags = ['-O2', '--converge', '--enable', 'simd', '--runtime', 'stub', '--initialMemory', '1', '--noAssert'];
  const { error, stderr } = await asc.main(['normals.ts', ...flags, '--outFile', 'normals.wasm'], {
    readFile: (name) => (name === 'normals.ts' ? source : null),
    writeFile: (name, contents) => {
      if (name === 'normals.wasm') wasm = contents as Uint8Array;
    },
    listFiles: () => [],
  });
  if (error !== null || wasm === undefined) {
    throw new NorthlightError('build/normals', `${SOURCE} does not compile: ${stderr.toString()}`, 'Mend it.');
  }
  const lines = Buffer.from(wasm)
    .toString('base64')
    .match(/.{1,116}/g)!;
  return `/** models/tensor/normals.as, compiled by build/scripts/compile-normals.ts. */\nexport const NORMALS_WASM = \`\n${lines.join('\n')}\n\`;\n`;
}

if (import.meta.main) {
  writeFileSync(NORMALS_MODULE, await compileNormals());
}
