import { fc, test } from '@fast-check/vitest';
import { describe, expect } from 'vitest';
import { parseDelimited, parseFasta } from '#pipelines/sequences/sequence-files.ts';

describe('FASTA', () => {
  test('joins lines, keeps case, takes the first word as name', () => {
    expect(parseFasta('>a first\r\nACG\r\ntta \r\n\r\n>b\nGG\n', 'f')).toEqual([
      { id: 'a', sequence: 'ACGtta' },
      { id: 'b', sequence: 'GG' },
    ]);
  });
  test('text before the first name is refused with its line', () => {
    expect(() => parseFasta('\nACGT', 'x.fasta')).toThrow(/x\.fasta is not FASTA: line 2/);
  });
});

const quote = (field: string, delimiter: string) =>
  field.includes(delimiter) || /["\n\r]/.test(field) || field === '' ? `"${field.replaceAll('"', '""')}"` : field;

describe('tables', () => {
  test.prop([
    fc.array(
      fc.tuple(
        fc.string({ unit: fc.constantFrom(...'ab,"\n\t ') }),
        fc.string({ unit: fc.constantFrom(...'ACGT'), minLength: 1 }),
      ),
    ),
    fc.constantFrom(',' as const, '\t' as const),
  ])('any names and sequences come back from their quoted form', (rows, delimiter) => {
    const text = [
      'id,sequence'.replace(',', delimiter),
      ...rows.map((row) => row.map((field) => quote(field, delimiter)).join(delimiter)),
    ].join('\r\n');
    expect(parseDelimited(text, 'f', delimiter)).toEqual(rows.map(([id, sequence]) => ({ id, sequence })));
  });
  test('without a name column rows are numbered', () => {
    expect(parseDelimited('\uFEFFSequence,score\nAC,1\nGT,2\n', 'f', ',').map((row) => row.id)).toEqual(['1', '2']);
  });
  test('a missing sequence column is named with what is there', () => {
    expect(() => parseDelimited('seq,score\nAC,1\n', 'x.csv', ',')).toThrow(
      /x\.csv has no column "sequence" \(it has: seq, score\)/,
    );
  });
});
