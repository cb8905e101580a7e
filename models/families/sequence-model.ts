import { z } from 'zod';
import { NorthlightError } from '#models/errors.ts';
import { findFolder } from './find-folder.ts';
import { type MaskedModel, openMaskedSequence } from './masked-sequence.ts';
import { type OneHotModel, openOneHotSequence } from './onehot-sequence.ts';
import type { FoundFolder } from './types.ts';

/** A model of sequences as its family understands it: a description, nothing runs yet. */
export type SequenceModel = MaskedModel | OneHotModel;

const FAMILIES: readonly { className: string; kind: string; open(found: FoundFolder): SequenceModel }[] = [
  { className: 'MaskedDiffusionPipeline', kind: 'masked', open: openMaskedSequence },
  { className: 'OneHotDiffusionPipeline', kind: 'continuous-onehot', open: openOneHotSequence },
];

/** Whether a folder says that it holds a model of sequences. */
export function isSequenceFolder(found: FoundFolder): boolean {
  return FAMILIES.some((family) => family.className === found.className);
}

/**
 * Looks into a folder with a model of sequences.
 * @throws {NorthlightError} `model/family`, or `model/…` naming the first thing that is missing or unusable.
 */
export function openSequenceModel(directory: string | FoundFolder): SequenceModel {
  const found = typeof directory === 'string' ? findFolder(directory) : directory;
  const named = FAMILIES.find((family) => family.className === found.className);
  const told = z.object({ kind: z.string() }).safeParse(found.components.get('denoiser')?.config);
  const kind = FAMILIES.find((family) => told.success && family.kind === told.data.kind) ?? named;
  if (named === undefined || kind === undefined) {
    throw new NorthlightError(
      'model/family',
      `${found.path} is a ${found.className || 'model without a _class_name'}, not a model of sequences.`,
      `Its model_index.json needs "_class_name": ${FAMILIES.map((f) => `"${f.className}"`).join(' or ')}.`,
    );
  }
  return kind.open(found);
}
