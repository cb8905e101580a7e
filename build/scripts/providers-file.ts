import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

export const providersPath = join(import.meta.dirname, '..', '..', 'test', 'golden', 'providers.json');

const operatorRecord = z.object({
  /** Nodes that ran on the provider and gave the CPU's values. */
  ok: z.number(),
  /** Nodes that the runtime gave to the CPU. */
  cpu: z.number(),
  /** Nodes that gave other values from the same inputs. */
  wrong: z.number(),
  /** Graphs that could not be opened or run because of this operator. */
  error: z.number(),
  /** Largest relative error of a node. */
  worst: z.number(),
  /** What was said of the first wrong or failing one. */
  note: z.string(),
});
export type OperatorRecord = z.infer<typeof operatorRecord>;

const providersFile = z.object({
  runtime: z.string(),
  tried: z.array(
    z.object({
      provider: z.string(),
      device: z.string(),
      operators: z.record(z.string(), operatorRecord),
      /** Cases that failed with nothing to blame. */
      unexplained: z.array(z.string()),
      graphs: z.array(
        z.object({
          title: z.string(),
          nodes: z.number(),
          agreement: z.number().nullable(),
          worst: z.string(),
          seconds: z.number().nullable(),
          cpuSeconds: z.number().nullable(),
          leftToCpu: z.record(z.string(), z.number()),
          reason: z.string(),
        }),
      ),
    }),
  ),
});
export type Tried = z.infer<typeof providersFile>['tried'][number];

/** What was measured of providers and kept; nothing when there is no such file. */
export function readProviders(): z.infer<typeof providersFile> {
  if (!existsSync(providersPath)) return { runtime: '', tried: [] };
  return providersFile.parse(JSON.parse(readFileSync(providersPath, 'utf8')));
}
