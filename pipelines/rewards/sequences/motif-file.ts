import { readFileSync } from 'node:fs';
import { NorthlightError } from '#models/errors.ts';
import { fileError } from '#models/files.ts';

/** Letters at each position of a motif: counts or probabilities of A, C, G, T, `[positions][4]`. */
export interface Motif {
  readonly name: string;
  readonly counts: readonly (readonly number[])[];
  /** Sites that the counts are of; probabilities are counts of this many sites. */
  readonly sites: number;
}

/**
 * Motifs of a JASPAR file (`>ID name`, then four rows of counts, with or without `A [ … ]`) or of a minimal MEME file.
 * @throws {NorthlightError} `reward/motif` with the line.
 */
export function readMotifs(path: string): Motif[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw fileError(error, path, 'read');
  }
  const lines = text.split(/\r?\n/);
  const motifs = /^MEME version/m.test(text) ? meme(lines, path) : jaspar(lines, path);
  if (motifs.length === 0) throw refuse(path, 'it holds no motif');
  return motifs;
}

const refuse = (path: string, why: string) =>
  new NorthlightError('reward/motif', `${path}: ${why}.`, 'Give a JASPAR or a minimal MEME file of DNA motifs.');

const numbersOf = (line: string) => (line.match(/[-+.\deE]+/g) ?? []).map(Number);
const areCounts = (numbers: readonly number[]) => numbers.every((n) => Number.isFinite(n) && n >= 0);

function jaspar(lines: readonly string[], path: string): Motif[] {
  return lines.flatMap((line, at) => {
    if (!line.startsWith('>')) return [];
    const rows = lines.slice(at + 1, at + 5).map((row) => numbersOf(row.replace(/^\s*[ACGTacgt]\s*/, '')));
    const width = rows[0]?.length ?? 0;
    if (rows.length < 4 || width === 0 || !rows.every((row) => row.length === width && areCounts(row))) {
      throw refuse(path, `the motif of line ${at + 1} does not have four rows of as many counts`);
    }
    const counts = Array.from({ length: width }, (_, position) => rows.map((row) => row[position]!));
    return [checked({ name: line.slice(1).trim(), counts, sites: sum(counts[0]!) }, at, path)];
  });
}

function meme(lines: readonly string[], path: string): Motif[] {
  let name = '';
  return lines.flatMap((line, at) => {
    if (line.startsWith('MOTIF')) name = line.slice(5).trim();
    if (!line.startsWith('letter-probability matrix')) return [];
    const width = Number(/\bw=\s*(\d+)/.exec(line)?.[1] ?? 0);
    const sites = Number(/\bnsites=\s*([\d.]+)/.exec(line)?.[1] ?? 20);
    const rows = lines.slice(at + 1, at + 1 + width).map(numbersOf);
    if (width === 0 || rows.length < width || !rows.every((row) => row.length === 4 && areCounts(row))) {
      throw refuse(path, `the matrix of line ${at + 1} does not have its w rows of four probabilities`);
    }
    return [checked({ name, counts: rows.map((row) => row.map((p) => p * sites)), sites }, at, path)];
  });
}

function checked(motif: Motif, at: number, path: string): Motif {
  if (motif.sites > 0 && motif.counts.every((column) => sum(column) > 0)) return motif;
  throw refuse(path, `the motif of line ${at + 1} has a position without counts`);
}

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
