import type { Job } from '#pipelines/engine/contract.ts';
import { formatWhen } from '#renderer/logic/format.ts';

interface Props {
  /** What is not of one job. */
  readonly whole: { readonly value: string; readonly label: string };
  readonly jobs: readonly Job[];
  readonly value: string;
  onChange(value: string): void;
}

/** Which batch is shown. */
export function BatchSelect({ whole, jobs, value, onChange }: Props) {
  return (
    <select
      className="input batch"
      aria-label="Batch shown"
      value={value}
      data-testid="batch-select"
      onChange={(event) => onChange(event.target.value)}
    >
      <option value={whole.value}>{whole.label}</option>
      {jobs.map((job) => (
        <option key={job.id} value={job.id}>
          {`${job.title} · ${formatWhen(job.createdAt)}`}
        </option>
      ))}
    </select>
  );
}
