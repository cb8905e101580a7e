import { pictureUrl } from '#renderer/state/host.ts';

interface Props {
  readonly sheet: { readonly hash: string; readonly side: number; readonly columns?: number };
  /** Which picture of the sheet. */
  readonly at: number;
  readonly alt: string;
}

/** One small picture out of a sheet of many. */
export function SheetPicture({ sheet: { hash, side, columns }, at, alt }: Props) {
  const column = columns === undefined ? at : at % columns;
  const row = columns === undefined ? 0 : Math.floor(at / columns);
  return (
    <span
      className="sheet-picture"
      role="img"
      aria-label={alt}
      style={{
        width: side,
        height: side,
        backgroundImage: `url(${pictureUrl(hash)})`,
        backgroundPosition: `${-column * side}px ${-row * side}px`,
      }}
    />
  );
}
