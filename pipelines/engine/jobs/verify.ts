import { openModelFolder } from '#models/families/index.ts';
import { verifyLora } from '#models/training/lora-verify.ts';
import type { JobFunction } from '#pipelines/engine/job-protocol.ts';
import { probeFeeds } from '#pipelines/finetune/probe.ts';
import { verifyPayload } from './payloads.ts';

/** Re-reads an adapter file, applies it inserted and merged, and says how far the two and the base model differ. */
export const verify: JobFunction = async (payload, context) => {
  const p = verifyPayload.parse(payload);
  context.progress('applying the adapter', 0, 1);
  const folder = openModelFolder(p.modelPath);
  const { difference, effect, matched, unmatched } = await verifyLora({
    modelPath: folder.unetPath,
    model: folder.unet,
    file: p.adapterPath,
    live: null,
    feeds: probeFeeds(folder),
    ...(context.threads ? { threads: context.threads } : {}),
  });
  context.progress('applying the adapter', 1, 1);
  return { difference, effect, matched, unmatched };
};
