import { randomBytes } from 'node:crypto';

/** A new random name such as `job-3f9a…` (64 bits): it tells nothing about order or origin. */
export function newId(
  prefix: 'job' | 'sample' | 'sequence' | 'session' | 'trial' | 'run' | 'adapter' | 'model',
): string {
  return `${prefix}-${randomBytes(8).toString('hex')}`;
}
