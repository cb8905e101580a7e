import { useEffect, useState } from 'react';
import type { Input, Output } from '#pipelines/engine/contract.ts';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { formatBytes, formatDuration } from '#renderer/logic/format.ts';
import { engine } from '#renderer/state/engine.ts';
import { type EngineError, toEngineError } from '#renderer/transport/wire.ts';

type Plan = Output<'tune.estimate'>;

/** Typing goes on for a moment before it is worth asking. */
const PAUSE_MS = 700;

/** What a run of the settings in the form would take, asked again as they change; null while nothing can be asked. */
export function TuneEstimate({ settings }: { settings: Input<'tune.estimate'> | null }) {
  const [plan, setPlan] = useState<Plan | null>(null);
  const [error, setError] = useState<EngineError | null>(null);
  const key = settings ? JSON.stringify(settings) : null;
  useEffect(() => {
    setError(null);
    if (key === null) return setPlan(null);
    let stale = false;
    const timer = setTimeout(async () => {
      try {
        const told = await engine.call('tune.estimate', JSON.parse(key) as Input<'tune.estimate'>);
        if (!stale) setPlan(told);
      } catch (cause) {
        const refused = toEngineError(cause);
        if (stale || refused.code === 'ask/superseded') return;
        setPlan(null);
        setError(refused);
      }
    }, PAUSE_MS);
    return () => {
      stale = true;
      clearTimeout(timer);
    };
  }, [key]);
  if (key === null) return null;
  if (error) return <ErrorNote error={error} />;
  return (
    <p className="small quiet number" data-testid="tune-estimate">
      {plan ? planText(plan) : 'Estimating time and memory…'}
    </p>
  );
}

/** "about 12 min, 1.4 GB of memory", and how an update was made to fit. */
export function planText({ totalSeconds, peakBytes, parts, checkpoints }: Plan): string {
  const how = [
    ...(parts > 1 ? [`each update in ${parts} parts`] : []),
    ...(checkpoints ? ['parts of the network computed twice to save memory'] : []),
  ];
  const cost = `About ${formatDuration(totalSeconds)}, ${formatBytes(peakBytes)} of memory`;
  return how.length > 0 ? `${cost}; ${how.join(', ')}.` : `${cost}.`;
}
