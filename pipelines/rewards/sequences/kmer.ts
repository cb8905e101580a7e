import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { fileError } from '#models/files.ts';
import { addWordCounts } from '#pipelines/sequences/words.ts';
import { defineSequenceReward } from './define.ts';
import { bases } from './nucleotides.ts';

/** Frequencies of all 4ᵏ words in the order of the alphabet; words with ambiguous letters are not counted. Zeros where none fit. */
function frequencies(letters: string, k: number): Float64Array {
  const counts = addWordCounts(letters, k, new Float64Array(4 ** k));
  const words = counts.reduce((a, b) => a + b, 0);
  return words === 0 ? counts : counts.map((count) => count / words);
}

/** Lines `WORD NUMBER`, normalised to sum to 1; words that are not named have 0. */
function readTable(path: string): { readonly k: number; readonly wanted: Float64Array } {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw fileError(error, path, 'read');
  }
  const refuse = (why: string) =>
    new NorthlightError('reward/option', `Reward "kmer": ${path}: ${why}.`, 'Write lines such as "ACG 0.021".');
  const rows = text.split(/\r?\n/).flatMap((line, at) => {
    if (line.trim() === '' || line.startsWith('#')) return [];
    const [word = '', number = ''] = line.trim().split(/[\s,]+/);
    const value = Number(number);
    if (!/^[ACGTU]{1,8}$/i.test(word) || number === '' || !(value >= 0)) {
      throw refuse(`line ${at + 1} is not a word of at most 8 bases and a number of at least 0`);
    }
    return [{ word: bases(word, 'refuse'), value, at }];
  });
  const total = rows.reduce((sum, { value }) => sum + value, 0);
  if (total === 0 || total === Number.POSITIVE_INFINITY) throw refuse('its numbers do not sum to a positive number');
  const k = rows[0]!.word.length;
  const odd = rows.find(({ word }) => word.length !== k);
  if (odd) throw refuse(`line ${odd.at + 1} has ${odd.word.length} bases and the lines before have ${k}`);
  const wanted = new Float64Array(4 ** k);
  for (const { word, value } of rows) wanted[frequencies(word, k).indexOf(1)]! += value / total;
  return { k, wanted };
}

function correlation(a: Float64Array, b: Float64Array): number {
  const mean = 1 / a.length;
  let products = 0;
  let aSquares = 0;
  let bSquares = 0;
  for (let i = 0; i < a.length; i++) {
    products += (a[i]! - mean) * (b[i]! - mean);
    aSquares += (a[i]! - mean) ** 2;
    bSquares += (b[i]! - mean) ** 2;
  }
  // Even frequencies are unrelated to any others.
  return aSquares < 1e-24 || bSquares < 1e-24 ? 0 : products / Math.sqrt(aSquares * bSquares);
}

/** Half the sum of absolute differences. */
function totalVariation(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0) / 2;
}

export const kmer = defineSequenceReward({
  name: 'kmer',
  description:
    'How much the frequencies of words of k bases are like those of a file of lines "WORD NUMBER": Pearson correlation (−1…1), or minus the total variation distance (−1…0).',
  options: z.strictObject({
    file: z.string().min(1).describe('frequencies or counts, one word a line; its words say k, 1 to 8'),
    measure: z.enum(['correlation', 'distance']).default('correlation').describe('correlation or distance'),
  }),
  positional: 'file',
  open: ({ file, measure }) => {
    const { k, wanted } = readTable(file);
    return (sequence) => {
      const letters = bases(sequence, 'pass');
      const found = frequencies(letters, k);
      if (found.every((share) => share === 0)) {
        throw new NorthlightError('reward/length', `It has no word of ${k} bases.`, 'Leave such sequences out.');
      }
      return measure === 'correlation' ? correlation(found, wanted) : -totalVariation(found, wanted);
    };
  },
});
