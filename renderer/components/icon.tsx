/** Line icons on a 20 × 20 grid, drawn with the current colour. Decorative: the control that holds one has its own name. */
const paths = {
  generate: 'M10 2.5l1.6 5.9 5.9 1.6-5.9 1.6L10 17.5l-1.6-5.9L2.5 10l5.9-1.6z',
  gallery: 'M3 3h5.5v5.5H3zM11.5 3H17v5.5h-5.5zM3 11.5h5.5V17H3zM11.5 11.5H17V17h-5.5z',
  tag: 'M3 3.5h6.5l7.5 7.5-6 6-7.5-7.5zM6.5 6.8h.01',
  search: 'M9 3.5a5.5 5.5 0 110 11 5.5 5.5 0 010-11zM13 13l4 4',
  trash: 'M4 6h12M8 6V4h4v2M5.5 6l.8 10.5h7.4L14.5 6M8.5 9v5M11.5 9v5',
  rank: 'M3 4.5h5.5v11H3zM11.5 4.5H17v11h-5.5zM5 12.5l1 1 1.6-2.2',
  tune: 'M4 3v6M4 13v4M10 3v2M10 9v8M16 3v8M16 15v2M2.2 11h3.6M8.2 7h3.6M14.2 13h3.6',
  compare: 'M10 2.5v15M8 5.5H3v9h5M12 5.5h5v9h-5M4.5 11.5l1.8-2M13.7 8.5l1.8 2',
  models: 'M10 2.5l6.5 3.7v7.6L10 17.5l-6.5-3.7V6.2zM3.5 6.2L10 10l6.5-3.8M10 10v7.5',
  close: 'M5 5l10 10M15 5L5 15',
  dice: 'M3.5 5.5a2 2 0 012-2h9a2 2 0 012 2v9a2 2 0 01-2 2h-9a2 2 0 01-2-2zM7 7h.01M13 7h.01M10 10h.01M7 13h.01M13 13h.01',
  star: 'M10 3l2.1 4.5 4.9.6-3.6 3.4.9 4.9-4.3-2.4-4.3 2.4.9-4.9L3 8.1l4.9-.6z',
  up: 'M5 12.5L10 7.5l5 5',
  down: 'M5 7.5l5 5 5-5',
  left: 'M12.5 5l-5 5 5 5',
  right: 'M7.5 5l5 5-5 5',
  pause: 'M7 4.5v11M13 4.5v11',
  play: 'M6.5 4l9 6-9 6z',
  offline:
    'M3 3l14 14M6.2 11.2a5.5 5.5 0 012.2-1.4M4 8.5a9 9 0 012.6-1.7M9.5 5.8A9 9 0 0116 8.5M12.4 10.2a5.5 5.5 0 011.4 1M10 14.5h.01',
  folder: 'M2.5 5.5h5l1.8 2h8.2v8h-15z',
  moon: 'M16 12.2A6.5 6.5 0 018 4a6.5 6.5 0 108 8.2z',
  sun: 'M10 6.5a3.5 3.5 0 110 7 3.5 3.5 0 010-7zM10 2v1.5M10 16.5V18M2 10h1.5M16.5 10H18M4.3 4.3l1.1 1.1M14.6 14.6l1.1 1.1M15.7 4.3l-1.1 1.1M5.4 14.6l-1.1 1.1',
  system: 'M3 4h14v9.5H3zM7.5 16.5h5M10 13.5v3',
  help: 'M7.6 7.4a2.5 2.5 0 014.9.7c0 1.7-2.5 2-2.5 3.8M10 14.6h.01',
  check: 'M4.5 10.5l3.5 3.5 7.5-8',
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name, size = 20, filled = false }: { name: IconName; size?: number; filled?: boolean }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 20 20"
      fill={filled ? 'currentColor' : 'none'}
      stroke="currentColor"
      strokeWidth={size > 28 ? 1 : 1.5}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      <path d={paths[name]} />
    </svg>
  );
}
