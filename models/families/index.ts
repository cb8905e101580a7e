export { type DoctorReport, examineModel } from './doctor.ts';
export type { Feeds, ImageFamily, ImageModel } from './family.ts';
export { findFolder } from './find-folder.ts';
export { hashModelFolder, hashModelFolderInBackground, stampModelFolder } from './hash-folder.ts';
export { inspectModelFolder, type ModelReport, summaryOf } from './inspect-folder.ts';
export { type ModelFolder, openModelFolder } from './model-folder.ts';
export { rememberedModelHash } from './remembered-hash.ts';
