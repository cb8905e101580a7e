import { existsSync, linkSync, mkdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { NorthlightError } from '#models/errors.ts';
import { isExternal, type Model } from '#models/onnx/ir.ts';

/**
 * The model ready to be written at `path` with its weights by reference. In its own folder nothing has to be done; in another
 * one the weight files get a second name there (a hard link: no bytes are copied), because a graph may only refer to files
 * beside it.
 * @throws {NorthlightError} `graph/external` when the folder is on another disk or holds another file of that name.
 */
export function linkExternal(model: Model, path: string): Model {
  const { folder } = model;
  const target = dirname(resolve(path));
  const locations = new Set(
    [...model.graph.initializers.values()].flatMap((init) => (isExternal(init) ? [init.external.location] : [])),
  );
  if (folder === undefined || locations.size === 0) return model;
  if (existsSync(target) && realpathSync(target) === realpathSync(folder)) return model;
  for (const location of locations) {
    const [from, to] = [realpathSync(join(folder, location)), join(target, location)];
    if (existsSync(to) && isSameFile(from, to)) continue;
    try {
      mkdirSync(dirname(to), { recursive: true });
      linkSync(from, to);
    } catch (error) {
      throw new NorthlightError(
        'graph/external',
        `The weights in ${from} cannot be referred to from ${target}: ${(error as Error).message}`,
        `Write the graph beside its model, in ${folder}.`,
        { cause: error },
      );
    }
  }
  return { ...model, folder: target };
}

function isSameFile(a: string, b: string): boolean {
  const [x, y] = [statSync(a, { bigint: true }), statSync(b, { bigint: true })];
  return x.ino === y.ino && x.dev === y.dev;
}
