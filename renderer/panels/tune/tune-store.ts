import { create } from 'zustand';
import type { Output } from '#pipelines/engine/contract.ts';
import type { FieldValue } from '#renderer/logic/fields.ts';
import { withPoint } from '#renderer/logic/measures.ts';
import { engine } from '#renderer/state/engine.ts';
import { type EngineError, toEngineError } from '#renderer/transport/wire.ts';

type Detail = Output<'runs.show'>;
type Strip = Detail['strip'];

interface TuneState {
  algorithms: Output<'tune.algorithms'> | null;
  error: EngineError | null;
  algorithm: string | null;
  name: string;
  /** Departures from the defaults, by algorithm and field. */
  values: Record<string, Record<string, FieldValue>>;
  /** The run on screen. */
  run: { id: string; plan: Detail['plan']; metrics: Detail['metrics']; strip: Strip } | null;
  runError: EngineError | null;
}

export const useTune = create<TuneState>(() => ({
  algorithms: null,
  error: null,
  algorithm: null,
  name: '',
  values: {},
  run: null,
  runError: null,
}));

export async function loadAlgorithms(): Promise<void> {
  try {
    const algorithms = await engine.call('tune.algorithms', {});
    useTune.setState((s) => ({ algorithms, error: null, algorithm: s.algorithm ?? algorithms[0]?.name ?? null }));
  } catch (error) {
    useTune.setState({ error: toEngineError(error) });
  }
}

export function setValue(algorithm: string, key: string, value: FieldValue): void {
  useTune.setState((s) => ({ values: { ...s.values, [algorithm]: { ...s.values[algorithm], [key]: value } } }));
}

export const resetValues = (algorithm: string) =>
  useTune.setState((s) => ({ values: { ...s.values, [algorithm]: {} } }));

/** Strip frames in step order; a frame of a step that was there already replaces it. */
export const withFrame = (strip: Strip, frame: Strip[number]): Strip =>
  [...strip.filter((old) => old.step !== frame.step), frame].sort((a, b) => a.step - b.step);

/** Reads a run from the engine. What its events told meanwhile is in there too. */
export async function loadRun(id: string): Promise<void> {
  if (useTune.getState().run?.id !== id)
    useTune.setState({ run: { id, plan: null, metrics: [], strip: [] }, runError: null });
  try {
    const { plan, metrics, strip } = await engine.call('runs.show', { id });
    if (useTune.getState().run?.id === id) useTune.setState({ run: { id, plan, metrics, strip }, runError: null });
  } catch (error) {
    useTune.setState({ runError: toEngineError(error) });
  }
}

engine.on('metrics', ({ runId, point }) =>
  useTune.setState((s) => (s.run?.id === runId ? { run: { ...s.run, metrics: withPoint(s.run.metrics, point) } } : {})),
);
engine.on('planned', ({ runId, plan }) =>
  useTune.setState((s) => (s.run?.id === runId ? { run: { ...s.run, plan } } : {})),
);
engine.on('strip', ({ runId, frame }) =>
  useTune.setState((s) => (s.run?.id === runId ? { run: { ...s.run, strip: withFrame(s.run.strip, frame) } } : {})),
);
