import { formatFasta } from '#pipelines/sequences/sequence-files.ts';
import type { Sequence } from './sequence-contract.ts';

/** Sequences as a FASTA file, settings and scores as `key=value` behind the name, or as a CSV table with a column per reward. */
export function sequenceText(sequences: readonly Sequence[], format: 'fasta' | 'csv'): string {
  if (format === 'fasta') {
    return formatFasta(
      sequences.map((s) => ({
        id: nameOf(s),
        sequence: s.letters,
        description: [
          ...[`seed=${s.seed}`, `index=${s.index}`],
          ...(s.className === null ? [] : [`class=${s.className.replaceAll(/\s+/g, '_')}`]),
          ...Object.entries(s.scores).map(([reward, value]) => `${reward.replaceAll(/\s+/g, '_')}=${value}`),
        ].join(' '),
      })),
    );
  }
  const rewards = [...new Set(sequences.flatMap((s) => Object.keys(s.scores)))].sort();
  const columns = [
    'id',
    'sequence',
    'length',
    ...rewards,
    'class',
    'seed',
    'index',
    'steps',
    'sampler',
    'job',
    'sha256',
  ];
  const rows = sequences.map((s) => [
    ...[nameOf(s), s.letters, s.letters.length],
    ...rewards.map((reward) => s.scores[reward] ?? ''),
    ...[s.className ?? '', s.seed, s.index, s.steps, s.scheduler, s.jobId, s.hash],
  ]);
  return [columns, ...rows].map((row) => `${row.map(csvField).join(',')}\r\n`).join('');
}

/** The number of a sequence in its project: unique there, and sortable as text. */
const nameOf = ({ seq }: Sequence) => `nl${String(seq).padStart(6, '0')}`;

/** As RFC 4180 quotes. */
function csvField(value: string | number): string {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
