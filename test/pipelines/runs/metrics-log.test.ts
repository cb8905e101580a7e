import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fc, test as prop } from '@fast-check/vitest';
import { expect, test } from 'vitest';
import { metricsPath, openMetricsLog, readMetrics } from '#pipelines/runs/metrics-log.ts';

function withRun<T>(use: (run: string) => T): T {
  const run = mkdtempSync(join(tmpdir(), 'northlight-metrics-'));
  try {
    return use(run);
  } finally {
    rmSync(run, { recursive: true, force: true });
  }
}

const values = fc.dictionary(
  fc.constantFrom('loss', 'accuracy', 'kl'),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
);

prop.prop([fc.array(values, { maxLength: 8 }), fc.nat()])(
  'cut anywhere, the log gives all lines that are whole, and goes on cleanly after them',
  (all, where) =>
    withRun((run) => {
      const log = openMetricsLog(run);
      for (const [step, one] of all.entries()) log.append({ step, values: one });
      log.close();
      const bytes = readFileSync(metricsPath(run));
      const cut = bytes.length === 0 ? 0 : where % (bytes.length + 1);
      writeFileSync(metricsPath(run), bytes.subarray(0, cut));
      const whole = bytes.subarray(0, cut).toString().split('\n').length - 1;
      // −0 is written as 0.
      const expected = JSON.parse(JSON.stringify(all.slice(0, whole).map((one, step) => ({ step, values: one }))));
      expect(readMetrics(run)).toEqual(expected);
      const resumed = openMetricsLog(run);
      resumed.append({ step: whole, values: { loss: 0.5 } });
      resumed.close();
      expect(readMetrics(run)).toEqual([...expected, { step: whole, values: { loss: 0.5 } }]);
    }),
);

test('resuming from a step drops that step and what follows', () =>
  withRun((run) => {
    const log = openMetricsLog(run);
    for (let step = 0; step < 10; step++) log.append({ step, values: { loss: step } });
    log.close();
    openMetricsLog(run, 4).close();
    expect(readMetrics(run).map(({ step }) => step)).toEqual([0, 1, 2, 3]);
  }));

test('values that are not finite are left out, and there is no log before the first step', () =>
  withRun((run) => {
    expect(readMetrics(run)).toEqual([]);
    const log = openMetricsLog(run);
    log.append({ step: 0, values: { loss: Number.NaN, kl: 1, ratio: Number.POSITIVE_INFINITY } });
    log.close();
    expect(readMetrics(run)).toEqual([{ step: 0, values: { kl: 1 } }]);
    appendFileSync(metricsPath(run), '{"step":1}\n');
    expect(readMetrics(run)).toHaveLength(1);
  }));
