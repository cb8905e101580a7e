export type { Feeds, ImageFamily, ImageModel } from './family.ts';
export { findFolder } from './find-folder.ts';
export { hashModelFolder } from './hash-folder.ts';
export { inspectModelFolder, type ModelFolder, type ModelReport, openModelFolder } from './model-folder.ts';
export { IMAGE_FAMILIES, recogniseFamily } from './recognise.ts';
export { loadTokenizer, type PromptTokenizer } from './tokenizer.ts';
