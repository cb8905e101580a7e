import type { EventPayload, Sample } from '#pipelines/engine/contract.ts';
import { Icon } from '#renderer/components/icon.tsx';
import { Picture } from '#renderer/components/picture.tsx';
import { rewardName } from '#renderer/logic/fields.ts';
import { formatNumber } from '#renderer/logic/format.ts';

/** A finished picture with what rewards say of it. */
export function ResultTile({ sample, open }: { sample: Sample; open(id: string): void }) {
  const { id, prompt, seed, index, starred, hash, scores } = sample;
  const told = Object.entries(scores);
  return (
    <button
      type="button"
      className="tile"
      data-testid="result"
      aria-label={`Picture of ${prompt}, seed ${seed}, number ${index}${starred ? ', starred' : ''}`}
      onClick={() => open(id)}
    >
      <span className="tile-picture">
        <Picture hash={hash} alt="" lazy />
        {starred && (
          <span className="tile-star">
            <Icon name="star" size={14} filled />
          </span>
        )}
      </span>
      {told.length > 0 && (
        <span className="tile-scores">
          {told.map(([name, value]) => (
            <span key={name} className="tile-score number" title={name} data-testid="tile-score">
              <span className="cut">{rewardName(name)}</span> {formatNumber(value)}
            </span>
          ))}
        </span>
      )}
    </button>
  );
}

/** A picture in the making. */
export function PreviewTile({ preview }: { preview: EventPayload<'preview'> }) {
  return (
    <span className="tile making" data-testid="preview">
      <Picture hash={preview.hash} alt={`In the making: ${preview.prompt}`} />
      <span className="tile-step number">{`${preview.step} / ${preview.total}`}</span>
    </span>
  );
}
