import { NorthlightError } from '#models/errors.ts';

export interface SequenceRecord {
  readonly id: string;
  readonly sequence: string;
}

/** FASTA text, sequences in lines of 70 letters. */
export function formatFasta(records: readonly (SequenceRecord & { readonly description?: string })[]): string {
  const lines = records.flatMap(({ id, sequence, description }) => [
    `>${id}${description ? ` ${description}` : ''}`,
    ...(sequence.match(/.{1,70}/g) ?? []),
  ]);
  return lines.map((line) => `${line}\n`).join('');
}

/** FASTA records: `>id description`, then lines of letters. Case is kept, spaces and blank lines are dropped. */
export function parseFasta(text: string, where: string): SequenceRecord[] {
  const records: { id: string; sequence: string }[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.startsWith('>')) records.push({ id: line.slice(1).trim().split(/\s+/)[0] ?? '', sequence: '' });
    else if (line.trim() !== '') {
      const record = records.at(-1);
      if (record === undefined) {
        throw new NorthlightError(
          'sequence/fasta',
          `${where} is not FASTA: line ${index + 1} comes before any ">" line.`,
          'Start each sequence with a line ">name".',
        );
      }
      record.sequence += line.replaceAll(/\s+/g, '');
    }
  }
  return records;
}

/**
 * Rows of a table with a `sequence` column; `id` or `name` names them, else their number. Quoting as in RFC 4180: a quoted
 * field may hold the delimiter, line breaks and doubled quotes.
 */
export function parseDelimited(text: string, where: string, delimiter: ',' | '\t'): SequenceRecord[] {
  const [header, ...rows] = delimitedRows(text.replace(/^\uFEFF/, ''), delimiter);
  const columns = (header ?? []).map((name) => name.trim().toLowerCase());
  const at = columns.indexOf('sequence');
  if (at < 0) {
    throw new NorthlightError(
      'sequence/no-column',
      `${where} has no column "sequence" (it has: ${columns.join(', ') || 'nothing'}).`,
      'Name the column of sequences "sequence" in the first line.',
    );
  }
  const named = columns.findIndex((name) => name === 'id' || name === 'name');
  return rows.map((row, index) => ({ id: row[named] ?? String(index + 1), sequence: (row[at] ?? '').trim() }));
}

function delimitedRows(text: string, delimiter: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  let field = '';
  let quoted = false;
  const endRow = () => {
    row.push(field);
    if (row.length > 1 || field !== '') rows.push(row);
    row = [];
    field = '';
  };
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (quoted) {
      if (c !== '"') field += c;
      else if (text[i + 1] === '"') {
        field += '"';
        i++;
      } else quoted = false;
    } else if (c === '"' && field === '') quoted = true;
    else if (c === delimiter) {
      row.push(field);
      field = '';
    } else if (c === '\n' || c === '\r') {
      if (c === '\r' && text[i + 1] === '\n') i++;
      endRow();
    } else field += c;
  }
  endRow();
  return rows;
}
