import { useState } from 'react';
import { pictureUrl } from '#renderer/state/host.ts';

interface Props {
  readonly hash: string;
  /** What the picture should show: its prompt. Empty where the text beside it already says so. */
  readonly alt: string;
  readonly className?: string;
  /** Loaded when it comes near: one of many. */
  readonly lazy?: boolean;
  onReady?(): void;
}

/** A picture by content address. A small picture is enlarged pixel by pixel, never blurred. */
export function Picture({ hash, alt, className, lazy, onReady }: Props) {
  const [look, setLook] = useState<'smooth' | 'pixels' | 'failed'>('smooth');
  return (
    <span className={className ? `picture ${className}` : 'picture'}>
      <img
        src={pictureUrl(hash)}
        alt={alt}
        {...(lazy && { loading: 'lazy' as const })}
        className={look}
        draggable={false}
        decoding="async"
        onLoad={(event) => {
          const { naturalWidth, clientWidth } = event.currentTarget;
          setLook(naturalWidth <= 160 && clientWidth > naturalWidth * 0.9 ? 'pixels' : 'smooth');
          onReady?.();
        }}
        onError={() => {
          setLook('failed');
          onReady?.();
        }}
      />
      {look === 'failed' && <span className="failed">This picture’s file is missing from the project folder.</span>}
    </span>
  );
}
