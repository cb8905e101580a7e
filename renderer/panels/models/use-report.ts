import { useEffect, useState } from 'react';
import type { Model, ModelDoctorReport } from '#pipelines/engine/contract.ts';
import { engine } from '#renderer/state/engine.ts';

/** Everything that is known of a model; null until it is there, or where it cannot be had. */
export function useReport({ id, usable }: Model): ModelDoctorReport | null {
  const [report, setReport] = useState<ModelDoctorReport | null>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a folder that was mended has another report.
  useEffect(() => {
    let gone = false;
    engine.call('models.report', { id }).then(
      (found) => {
        if (!gone) setReport(found);
      },
      () => {},
    );
    return () => {
      gone = true;
    };
  }, [id, usable]);
  return report;
}
