import { formatDuration } from '#renderer/logic/format.ts';

interface Props {
  readonly label: string;
  readonly done: number;
  /** 0 when it is not known yet. */
  readonly total: number;
  readonly stage?: string;
  readonly etaSeconds?: number | null;
  readonly moving?: boolean;
  readonly testId?: string;
}

/** How far something is, what it does now, and the time left. */
export function Progress({ label, done, total, stage, etaSeconds, moving = true, testId }: Props) {
  const known = total > 0;
  const share = known ? Math.min(1, Math.max(0, done / total)) : 0;
  const left =
    etaSeconds === null || etaSeconds === undefined
      ? moving
        ? 'measuring time left'
        : ''
      : `${formatDuration(etaSeconds)} left`;
  return (
    <div className={known || !moving ? 'progress' : 'progress unknown'} data-testid={testId}>
      <div
        className="track"
        role="progressbar"
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={known ? total : undefined}
        aria-valuenow={known ? done : undefined}
        aria-valuetext={stage}
      >
        <div className="fill" style={known ? { width: `${share * 100}%` } : undefined} />
      </div>
      <div className="words">
        <span className="cut">{stage}</span>
        <span>{left}</span>
      </div>
    </div>
  );
}
