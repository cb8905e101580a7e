import { goOffline } from './offline.ts';

/** Entry of a compute process in the desktop app: no network, then the same code as everywhere. */
goOffline();
await import('#pipelines/engine/compute.ts');
