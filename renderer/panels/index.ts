import type { ComponentType } from 'react';
import type { Place } from '#renderer/state/navigation.ts';
import { ComparePanel } from './compare/compare-panel.tsx';
import { GalleryPanel } from './gallery/gallery-panel.tsx';
import { GeneratePanel } from './generate/generate-panel.tsx';
import { ModelsPanel } from './models/models-panel.tsx';
import { RankPanel } from './rank/rank-panel.tsx';
import { TunePanel } from './tune/tune-panel.tsx';

export const panels: Readonly<Record<Place, ComponentType>> = {
  generate: GeneratePanel,
  gallery: GalleryPanel,
  rank: RankPanel,
  tune: TunePanel,
  compare: ComparePanel,
  models: ModelsPanel,
};
