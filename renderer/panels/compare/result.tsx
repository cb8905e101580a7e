import { useEffect, useState } from 'react';
import type { ComparisonResult } from '#pipelines/engine/contract.ts';
import { ErrorNote } from '#renderer/components/error-note.tsx';
import { IntervalBar } from '#renderer/components/interval-bar.tsx';
import { formatPercent, plural } from '#renderer/logic/format.ts';
import { verdict } from '#renderer/logic/verdict.ts';
import { engine } from '#renderer/state/engine.ts';
import { type EngineError, toEngineError } from '#renderer/transport/wire.ts';

/** How often B was preferred, how sure that is, and by which prompts. */
export function Result({ id }: { id: string }) {
  const [result, setResult] = useState<ComparisonResult | null>(null);
  const [error, setError] = useState<EngineError | null>(null);
  const [attempt, setAttempt] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `attempt` asks again.
  useEffect(() => {
    setError(null);
    engine.call('compare.result', { id }).then(setResult, (thrown) => setError(toEngineError(thrown)));
  }, [id, attempt]);
  if (error) return <ErrorNote error={error} retry={() => setAttempt(attempt + 1)} />;
  if (!result) return <p className="quiet">Counting…</p>;
  const { winRateB, interval, labelA, labelB } = result;
  if (winRateB === null || interval === null)
    return <p className="quiet">No question of this comparison was answered.</p>;
  return (
    <div className="result stack" data-testid="compare-result">
      <section className="card stack">
        <div>
          <p className="figure-huge number" data-testid="win-rate">
            {formatPercent(winRateB)}
          </p>
          <p>
            {'of your choices went to '}
            <strong>{labelB}</strong>
            {' over '}
            <strong>{labelA}</strong>
            {'. '}
            <span data-testid="verdict">{verdict(interval, labelA, labelB)}</span>
          </p>
        </div>
        <IntervalBar value={winRateB} interval={interval} left={labelA} right={labelB} />
        <p className="small quiet number" data-testid="interval">
          {`95% interval ${formatPercent(interval[0])} to ${formatPercent(interval[1])} · ${plural(result.answered, 'answer')}${
            result.answered < result.total ? ` of ${result.total}` : ''
          } · ${labelB} ${result.winsB}, ${labelA} ${result.winsA}, equal ${result.ties}`}
        </p>
      </section>
      <section className="card">
        <table className="table">
          <caption className="hidden-text">Choices by prompt</caption>
          <thead>
            <tr>
              <th scope="col">Prompt</th>
              <th scope="col" className="figure">
                {labelB}
              </th>
              <th scope="col" className="figure">
                {labelA}
              </th>
              <th scope="col" className="figure">
                equal
              </th>
            </tr>
          </thead>
          <tbody>
            {result.perPrompt.map((row) => (
              <tr key={row.prompt}>
                <td>{row.prompt}</td>
                <td className="figure">{row.winsB}</td>
                <td className="figure">{row.winsA}</td>
                <td className="figure">{row.ties}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </div>
  );
}
