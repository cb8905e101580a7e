import { memo, useState } from 'react';
import { Icon } from '#renderer/components/icon.tsx';
import { formatNumber } from '#renderer/logic/format.ts';
import { thumbnailUrl } from '#renderer/state/host.ts';
import { useGallery } from './gallery-store.ts';

interface Props {
  readonly seq: number;
  readonly index: number;
  readonly x: number;
  readonly y: number;
  readonly side: number;
  readonly isCurrent: boolean;
  readonly isSelected: boolean;
}

/** A picture this small is drawn pixel by pixel when enlarged. */
const PIXEL_ART = 160;

export const tileId = (seq: number): string => `picture-${seq}`;

/** One picture of the grid. Blank until its settings are read; what it says of itself is for those who do not see it. */
export const GalleryTile = memo(function GalleryTile({ seq, index, x, y, side, isCurrent, isSelected }: Props) {
  const sample = useGallery((s) => s.rows.get(seq));
  const score = useGallery((s) => (s.reward === null ? undefined : s.rows.get(seq)?.scores[s.reward]));
  const total = useGallery((s) => s.seqs?.length ?? 0);
  const hash = sample?.hash;
  const [failed, setFailed] = useState<string | null>(null);
  const label = sample
    ? [sample.prompt, `seed ${sample.seed}`, sample.starred && 'starred', ...sample.tags].filter(Boolean).join(', ')
    : 'Picture';
  return (
    <div
      id={tileId(seq)}
      role="option"
      tabIndex={-1}
      aria-selected={isSelected}
      aria-setsize={total}
      aria-posinset={index + 1}
      aria-label={label}
      className={`gallery-tile${isCurrent ? ' current' : ''}${isSelected ? ' selected' : ''}`}
      data-index={index}
      data-testid="gallery-tile"
      style={{ transform: `translate(${x}px, ${y}px)`, width: side, height: side }}
    >
      {sample && hash !== failed && (
        <img
          src={thumbnailUrl(sample.hash)}
          alt=""
          className={Math.max(sample.width, sample.height) <= PIXEL_ART ? 'pixels' : undefined}
          draggable={false}
          decoding="async"
          onError={() => setFailed(sample.hash)}
        />
      )}
      {sample && hash === failed && <span className="failed">file missing</span>}
      {isSelected && (
        <span className="mark tick">
          <Icon name="check" size={14} />
        </span>
      )}
      {sample?.starred && (
        <span className="mark star">
          <Icon name="star" size={14} filled />
        </span>
      )}
      {score !== undefined && <span className="mark score number">{formatNumber(score)}</span>}
    </div>
  );
});
