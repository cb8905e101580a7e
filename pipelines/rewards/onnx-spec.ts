import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import type { Port } from '#models/runtime/session.ts';
import type { RewardManifest } from './manifest.ts';
import { parseOptions } from './spec.ts';

const onnx = {
  name: 'onnx',
  options: z.strictObject({ output: z.string().min(1).optional(), column: z.string().min(1).optional() }),
};

/** What comes after `onnx:`: a file, and which number of its answer is the score. */
export interface OnnxSpec {
  readonly path: string;
  readonly output?: string | undefined;
  /** Its number, from 0, or its name in "outputs" of reward.json. */
  readonly column?: string | undefined;
}

/** `PATH`, `PATH,output=NAME`, `PATH,column=NAME`, or both; a path may have commas of its own. @throws {NorthlightError} `reward/option`. */
export function parseOnnxSpec(text: string): OnnxSpec {
  const end = text.search(/,(output|column)=/);
  if (end < 0) return { path: text };
  return { path: text.slice(0, end), ...(parseOptions(onnx, text.slice(end + 1)) as z.output<typeof onnx.options>) };
}

/** Which number of a network's answer is the score. */
export interface ScoreAt {
  readonly output: string;
  /** Of an output `[B, K]`; absent: it must have one column. */
  readonly column?: number;
}

/**
 * The output and the column that a spec names, or else `reward.json`; else the only ones there are.
 * @throws {NorthlightError} `reward/output` listing what there is.
 */
export function scoreAt(
  { path, output, column }: OnnxSpec,
  outputs: readonly Port[],
  manifest: RewardManifest,
): ScoreAt {
  const names = outputs.map((o) => o.name);
  const name = output ?? manifest.output ?? (names.length === 1 ? names[0] : undefined);
  const port = outputs.find((o) => o.name === name);
  if (port === undefined) {
    throw new NorthlightError(
      'reward/output',
      name === undefined
        ? `The reward model ${path} has ${names.length} outputs (${names.join(', ')}).`
        : `The reward model ${path} has no output "${name}"; it has ${names.join(', ')}.`,
      `Name the one that is the score, as onnx:${path},output=${names[0]} or as "output" in reward.json beside the model.`,
    );
  }
  // What reward.json says of columns, it says of its own output.
  const own = port.name === (manifest.output ?? (names.length === 1 ? names[0] : undefined));
  const found =
    column === undefined ? (own ? manifest.outputIndex : undefined) : columnOf(column, port, own, path, manifest);
  return { output: port.name, ...(found === undefined ? {} : { column: found }) };
}

function columnOf(column: string, port: Port, own: boolean, path: string, { outputs }: RewardManifest): number {
  const labels = own ? (outputs ?? []) : [];
  const found = /^\d+$/.test(column) ? Number(column) : labels.indexOf(column);
  const last = port.dims[1];
  const count = port.dims.length < 2 ? 1 : typeof last === 'number' && last > 0 ? last : null;
  if (found >= 0 && (count === null || found < count)) return found;
  const known = [
    ...(labels.length > 0 ? [labels.join(', ')] : []),
    ...(count === null ? [] : [count === 1 ? 'only column 0' : `columns 0 to ${count - 1}`]),
  ];
  throw new NorthlightError(
    'reward/output',
    `The output "${port.name}" of the reward model ${path} has no column "${column}"${known.length > 0 ? `; it has ${known.join(': ')}` : ''}.`,
    labels.length > 0
      ? 'Name a column by its name or its number, from 0.'
      : 'Give the number of a column, from 0; names can be given as "outputs" in reward.json beside the model.',
  );
}
