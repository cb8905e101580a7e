import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import { toPlainError } from '#models/errors.ts';
import { readSafetensors, writeSafetensors } from '#models/tensor/safetensors.ts';
import { type trialAnswer, trialRequest } from './graph-trial.ts';
import { createSession, type Provider } from './session.ts';

// Runs in a throw-away process of its own: see graph-trial.ts. Arguments: the provider, and the folder with the graph.
const RUNS = 3;
/** Further runs are for a steadier time, which a graph that takes this long has anyway. */
const ENOUGH_SECONDS = 5;
const [, , provider, work] = process.argv as [string, string, Provider, string];

async function measure(): Promise<z.infer<typeof trialAnswer>> {
  try {
    const request = trialRequest.parse(JSON.parse(readFileSync(join(work, 'request.json'), 'utf8')));
    const started = performance.now();
    const since = (start: number) => (performance.now() - start) / 1000;
    const session = await createSession(request.path ?? readFileSync(join(work, 'graph.onnx')), {
      provider,
      explain: true,
      training: request.training,
      arena: request.training,
      ...(request.threads !== undefined && { threads: request.threads }),
      ...(request.folder !== undefined && { folder: request.folder }),
    });
    const loadSeconds = since(started);
    const given = Object.fromEntries(readSafetensors(join(work, 'feeds.safetensors')).tensors);
    const feeds = Object.fromEntries(session.inputs.flatMap(({ name }) => (given[name] ? [[name, given[name]]] : [])));
    const first = performance.now();
    const outputs = await session.run(feeds, request.fetches);
    const firstSeconds = since(first);
    const times: number[] = firstSeconds > ENOUGH_SECONDS ? [firstSeconds] : [];
    while (times.length < RUNS && since(first) < ENOUGH_SECONDS) {
      const begun = performance.now();
      await session.run(feeds, request.fetches);
      times.push(since(begun));
    }
    writeSafetensors(join(work, 'outputs.safetensors'), new Map(Object.entries(outputs)));
    const seconds = times.sort((a, b) => a - b)[times.length >> 1] ?? firstSeconds;
    // Kilobytes, on every system.
    return { seconds, firstSeconds, loadSeconds, peakBytes: process.resourceUsage().maxRSS * 1024 };
  } catch (error) {
    return { reason: toPlainError(error).message };
  }
}

const answer = await measure();
process.send?.(answer, () => {
  // Drivers keep threads that would hold the process open, and some abort while they are taken down.
  process.exit(0);
});
