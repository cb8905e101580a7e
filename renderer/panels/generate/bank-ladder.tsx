import type { BankPreview } from '#pipelines/engine/contract.ts';
import { expectedGain } from '#renderer/logic/bank-words.ts';
import { formatNumber } from '#renderer/logic/format.ts';

const SHOWN = [2, 4, 8, 16, 32];

/** Extra work and the gain in mean reward to expect of it: of best-of-N exactly, of other methods an estimate. */
export function BankLadder({ preview }: { preview: BankPreview }) {
  const { mean } = preview.plain;
  const cell = (found: { readonly mean: number; readonly reliable: boolean } | null) => {
    if (found === null) return <td className="quiet">needs more samples</td>;
    const words = `Mean reward ${formatNumber(found.mean)}${found.reliable ? '' : '; unreliable: few samples carry it'}`;
    return (
      <td className={found.reliable ? 'number' : 'number quiet'} title={words}>
        {`${found.reliable ? '' : '≈ '}${expectedGain(found.mean, mean)}`}
      </td>
    );
  };
  return (
    <table className="bank-ladder small" data-testid="bank-ladder">
      <caption>Extra work → expected gain</caption>
      <thead>
        <tr>
          <th scope="col">Work</th>
          <th scope="col">Best of N</th>
          <th
            scope="col"
            title="The most that can be had without going further from plain samples than the best of N does. Methods that branch at every step may go further, or use their work worse."
          >
            Others (estimate)
          </th>
        </tr>
      </thead>
      <tbody>
        {preview.ladder
          .filter(({ times }) => SHOWN.includes(times))
          .map(({ times, bestOf, atSameDistance }) => (
            <tr key={times}>
              <th scope="row">{`×${times}`}</th>
              {cell(bestOf)}
              {cell(atSameDistance)}
            </tr>
          ))}
      </tbody>
    </table>
  );
}
