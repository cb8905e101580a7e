import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { encodePng } from '#pipelines/images/images.ts';
import { type LineProcess, startLineProcess } from './line-process.ts';
import type { ImageItem, Reward, RewardItem } from './types.ts';

const BATCH = 64;
const TIMEOUT_MS = 10 * 60_000;

const answer = z.union([
  z.object({ id: z.number(), scores: z.array(z.unknown()) }),
  z.object({ id: z.number(), error: z.string(), item: z.int().min(0).optional() }),
]);

/** The words of a command line: separated by spaces, `'…'` as it is, `"…"` and `\` as in a POSIX shell. Nothing is expanded. */
export function splitCommand(text: string): string[] {
  // A backslash is part of a path on Windows.
  const word = process.platform === 'win32' ? /(?:"[^"]*"|[^\s"])+/g : /(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\])+/gs;
  const unquote = (part: string) =>
    part.replaceAll(/'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)/gs, (_, single, double, escaped) =>
      single !== undefined ? single : double !== undefined ? double.replaceAll(/\\(["\\$`])/g, '$1') : escaped,
    );
  const words = text.match(word) ?? [];
  return process.platform === 'win32' ? words.map((w) => w.replaceAll('"', '')) : words.map(unquote);
}

/**
 * Any program as a reward. It is started once; a line `{"id":1,"kind":"sequence","items":["ACGT…"]}`, or
 * `{"id":1,"kind":"image","items":[{"path":"…","prompt":"…"}]}` with PNG files, asks for scores of a batch, and it answers by a line
 * `{"id":1,"scores":[…]}` or `{"id":1,"error":"…"}`, where `"item"` may say which. Errors name the items by their place. After a
 * crash or a time-out it is started again for the next call.
 * @throws {NorthlightError} `reward/not-found`; scoring throws `reward/timeout`, `reward/crashed`, `reward/reply`, `reward/failed`,
 *   `reward/count` and `reward/not-finite`.
 */
export async function createCommandReward(
  text: string,
  { timeoutMs = TIMEOUT_MS, batch = BATCH }: { readonly timeoutMs?: number; readonly batch?: number } = {},
): Promise<Reward> {
  const [program, ...args] = splitCommand(text);
  if (program === undefined) {
    throw new NorthlightError('reward/option', '"command:" names no program.', 'Write command:PROGRAM ARGUMENTS…');
  }
  let running: LineProcess | undefined = await startLineProcess(program, args);
  let folder: string | undefined;
  let id = 0;

  /** What the program is told of the items; pictures as files that last until the answer. */
  const describe = async (items: readonly RewardItem[]) =>
    Promise.all(
      items.map(async (item, i) => {
        if (item.kind === 'sequence') return item.sequence;
        folder ??= mkdtempSync(join(tmpdir(), 'northlight-reward-'));
        const path = join(folder, `${i}.png`);
        writeFileSync(path, await png(item));
        return { path, prompt: item.prompt };
      }),
    );

  const ask = async (items: readonly RewardItem[]): Promise<number[]> => {
    const { kind } = items[0]!;
    const line = JSON.stringify({ id: ++id, kind, items: await describe(items) });
    if (running?.alive !== true) {
      await running?.close();
      running = await startLineProcess(program, args);
    }
    return readAnswer(await running.ask(line, timeoutMs), id, items.length, program);
  };

  return {
    name: basename(program),
    higherIsBetter: true,
    async score(items) {
      const scores = new Float32Array(items.length);
      for (let from = 0; from < items.length; ) {
        const { kind } = items[from]!;
        let to = from;
        while (to < items.length && to - from < batch && items[to]!.kind === kind) to++;
        try {
          scores.set(await ask(items.slice(from, to)), from);
        } catch (error) {
          throw placed(error, from, to);
        }
        from = to;
      }
      return scores;
    },
    async close() {
      await running?.close();
      running = undefined;
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    },
  };
}

const png = ({ rgb, width, height }: ImageItem) => encodePng(rgb, width, height);

/** A fault of one item of a batch. */
class ItemError extends NorthlightError {
  readonly item: number;
  constructor(item: number, code: string, message: string, hint: string) {
    super(code, message, hint);
    this.item = item;
  }
}

function readAnswer(line: string, id: number, count: number, program: string): number[] {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    json = undefined;
  }
  const parsed = answer.safeParse(json);
  if (!parsed.success || parsed.data.id !== id) {
    throw new NorthlightError(
      'reward/reply',
      `"${program}" did not answer with scores of request ${id} but with: ${line.slice(0, 200)}`,
      'Answer each line by one line {"id":…,"scores":[…]}, and write anything else to standard error.',
    );
  }
  const { data } = parsed;
  if ('error' in data) {
    const message = `"${program}" says: ${data.error}`;
    if (data.item === undefined) throw new NorthlightError('reward/failed', message);
    throw new ItemError(data.item, 'reward/failed', message, '');
  }
  const { scores } = data;
  if (scores.length !== count) {
    throw new NorthlightError(
      'reward/count',
      `"${program}" gave ${scores.length} scores for ${count} items.`,
      'Give one score per item, in order.',
    );
  }
  return scores.map((score, i) => {
    // Scores are kept as float32.
    if (typeof score === 'number' && Number.isFinite(Math.fround(score))) return score;
    throw new ItemError(
      i,
      'reward/not-finite',
      `"${program}" gave ${JSON.stringify(score)}, which is no finite number.`,
      'Give every item a finite number.',
    );
  });
}

/** The error with the items of the call that it is about. */
function placed(error: unknown, from: number, to: number): unknown {
  if (!(error instanceof NorthlightError)) return error;
  const where =
    error instanceof ItemError
      ? `Item ${from + error.item}`
      : to - from === 1
        ? `Item ${from}`
        : `Items ${from} to ${to - 1}`;
  return new NorthlightError(error.code, `${where}: ${error.message}`, error.hint, { cause: error });
}
