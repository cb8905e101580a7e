/** Where a command's progress goes. `end` leaves the terminal clean. */
export interface Progress {
  report(stage: string, done: number, total: number): void;
  end(): void;
}

/** Seconds as `42 s`, `3 min 05 s`, `2 h 10 min`. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, '0')} min`;
}

/**
 * Units per second since the count last began at its lowest; null until something is done. A stage that starts over (a new
 * total, or fewer done) starts a new measurement.
 */
export function createRate(now: () => number): (done: number, total: number) => number | null {
  let start = { time: 0, done: 0, total: Number.NaN };
  let lastDone = 0;
  return (done, total) => {
    if (total !== start.total || done < lastDone) start = { time: now(), done, total };
    lastDone = done;
    const seconds = (now() - start.time) / 1000;
    return done > start.done && seconds > 0 ? (done - start.done) / seconds : null;
  };
}

const REDRAW_MS = 100;

/** One line that redraws itself: bar, counts, rate, time left. */
export function barProgress(
  write: (text: string) => void,
  columns: () => number,
  now: () => number = performance.now.bind(performance),
): Progress {
  const rate = createRate(now);
  let drawnAt = Number.NEGATIVE_INFINITY;
  let drawn = false;
  return {
    report(stage, done, total) {
      const perSecond = rate(done, total);
      if (now() - drawnAt < REDRAW_MS && done < total) return;
      drawnAt = now();
      drawn = true;
      const fraction = total > 0 ? Math.min(1, done / total) : 0;
      const filled = Math.round(fraction * 20);
      const pace =
        perSecond === null
          ? ''
          : ` · ${perSecond >= 1 ? `${perSecond.toFixed(1)}/s` : `${(1 / perSecond).toFixed(1)} s each`}` +
            (done < total ? ` · ${formatDuration((total - done) / perSecond)} left` : '');
      const bar = total > 0 ? `${'█'.repeat(filled)}${'░'.repeat(20 - filled)} ${done}/${total}` : `${done}`;
      write(`\r\u001b[2K${`${bar}${pace} · ${stage}`.slice(0, Math.max(10, columns() - 1))}`);
    },
    end() {
      if (drawn) write('\r\u001b[2K');
      drawn = false;
    },
  };
}

/** `{"type":"progress",…}` lines, at most ten a second; the last one of a stage is always written. */
export function jsonProgress(
  write: (text: string) => void,
  now: () => number = performance.now.bind(performance),
): Progress {
  const rate = createRate(now);
  let writtenAt = Number.NEGATIVE_INFINITY;
  return {
    report(stage, done, total) {
      const perSecond = rate(done, total);
      if (now() - writtenAt < REDRAW_MS && done < total) return;
      writtenAt = now();
      const etaSeconds = perSecond === null || total <= 0 ? null : Math.max(0, (total - done) / perSecond);
      write(`${JSON.stringify({ type: 'progress', stage, done, total, etaSeconds })}\n`);
    },
    end() {},
  };
}

export const noProgress: Progress = { report() {}, end() {} };
