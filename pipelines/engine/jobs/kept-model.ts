import { statSync } from 'node:fs';
import { stampModelFolder } from '#models/families/index.ts';
import { type ImagePipeline, loadPipeline } from '#pipelines/sampling/pipeline.ts';
import { modelKey, type WantedModel } from './wanted-model.ts';

/** One model at a time, open until another one is asked for. */
export interface KeptModel {
  /**
   * The model of the last call when the same is asked for again and none of its files has changed. It is not for the caller to close.
   * @throws {NorthlightError} as `loadPipeline`.
   */
  open(wanted: WantedModel): Promise<ImagePipeline>;
  /** `modelKey` of what is open; null: nothing. */
  readonly key: string | null;
  close(): Promise<void>;
}

export function createKeptModel(): KeptModel {
  let kept: { readonly key: string; readonly stamp: string; readonly pipeline: Promise<ImagePipeline> } | null = null;
  return {
    get key() {
      return kept?.key ?? null;
    },
    async open(wanted) {
      const key = modelKey(wanted);
      const stamp = stampOf(wanted);
      const before = kept;
      if (before?.key === key && before.stamp === stamp) return before.pipeline;
      // Two models at once would take the memory of both.
      const pipeline = closed(before?.pipeline).then(() => load(wanted));
      const opened = { key, stamp, pipeline };
      kept = opened;
      pipeline.catch(() => {
        if (kept === opened) kept = null;
      });
      return pipeline;
    },
    close() {
      const before = kept;
      kept = null;
      return closed(before?.pipeline);
    },
  };
}

/** One that could not be opened needs no closing. */
async function closed(pipeline: Promise<ImagePipeline> | undefined): Promise<void> {
  await (await pipeline?.catch(() => null))?.close();
}

const load = ({ modelPath, adapters, clipSkip = 1, threads }: WantedModel) =>
  loadPipeline(modelPath, { adapters, clipSkip, ...(threads ? { threads } : {}) });

/** Sizes and dates of all its files: equal while nobody has written to them. */
function stampOf({ modelPath, adapters }: WantedModel): string {
  const files = adapters.map(({ path }) => {
    const found = statSync(path, { throwIfNoEntry: false });
    return `${found?.size} ${found?.mtimeMs}`;
  });
  return [stampModelFolder(modelPath), ...files].join('\n');
}
