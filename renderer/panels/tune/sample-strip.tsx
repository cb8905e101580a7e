import { useState } from 'react';
import type { Output } from '#pipelines/engine/contract.ts';
import { Picture } from '#renderer/components/picture.tsx';

/** Most columns shown at once; a longer run shows evenly spread steps, always with the first and the last. */
const COLUMNS = 6;

export function spread(count: number, most: number): number[] {
  if (count <= most) return Array.from({ length: count }, (_, i) => i);
  return Array.from({ length: most }, (_, i) => Math.round((i * (count - 1)) / (most - 1)));
}

/** The same prompts and seeds as the run went on: rows are prompts, columns are steps, and a slider steps through them. */
export function SampleStrip({ frames }: { frames: Output<'runs.show'>['strip'] }) {
  const [at, setAt] = useState<number | null>(null);
  const current = Math.min(at ?? frames.length - 1, frames.length - 1);
  const frame = frames[current];
  const first = frames[0];
  if (!frame || !first) {
    return (
      <div className="card stack tight">
        <h3>The same pictures, as tuning goes on</h3>
        <p className="small quiet">The first row appears once the run has drawn its fixed prompts and seeds.</p>
      </div>
    );
  }
  const columns = spread(frames.length, COLUMNS);
  return (
    <div className="card stack" data-testid="strip">
      <div className="row apart">
        <h3>The same pictures, as tuning goes on</h3>
        <label className="row small quiet scrub">
          <span className="number">{`step ${frame.step}`}</span>
          <input
            type="range"
            min={0}
            max={frames.length - 1}
            value={current}
            aria-label="Step shown"
            aria-valuetext={`step ${frame.step}`}
            data-testid="strip-scrubber"
            onChange={(event) => setAt(Number(event.target.value))}
          />
        </label>
      </div>
      <div className="strip-scroll">
        <table className="strip-table">
          <thead>
            <tr>
              <th scope="col">Prompt</th>
              <th scope="col">before</th>
              <th scope="col">{`step ${frame.step}`}</th>
              {columns.map((column) => (
                <th key={column} scope="col" className={column === current ? 'now' : undefined}>
                  <button type="button" onClick={() => setAt(column)} aria-label={`Show step ${frames[column]?.step}`}>
                    {frames[column]?.step}
                  </button>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {first.pictures.map((start, row) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: a row is its place; one prompt may be drawn with two seeds.
              <tr key={row}>
                <th scope="row">{start.prompt}</th>
                <td className="big">
                  <Picture hash={start.hash} alt="Before tuning" />
                </td>
                <td className="big">
                  {frame.pictures[row] && <Picture hash={frame.pictures[row].hash} alt={`At step ${frame.step}`} />}
                </td>
                {columns.map((column) => {
                  const picture = frames[column]?.pictures[row];
                  return (
                    <td key={column} className={column === current ? 'now' : undefined}>
                      {picture && <Picture hash={picture.hash} alt={`At step ${frames[column]?.step}`} />}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}
