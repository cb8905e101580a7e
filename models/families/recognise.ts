import { NorthlightError } from '#models/errors.ts';
import { dit } from './dit.ts';
import type { ImageFamily } from './family.ts';
import { flux } from './flux.ts';
import { lcm } from './lcm.ts';
import { pixelSpace } from './pixel-space.ts';
import { requiredDenoiser } from './ports.ts';
import { sd1 } from './sd1.ts';
import { sd2 } from './sd2.ts';
import { sd3 } from './sd3.ts';
import { sdxl } from './sdxl.ts';
import { isSequenceFolder } from './sequence-model.ts';
import { turbo } from './turbo.ts';
import type { FoundFolder } from './types.ts';

/** Every family of images, the more particular before those whose signature also fits it. */
export const IMAGE_FAMILIES: readonly ImageFamily[] = [flux, sd3, dit, pixelSpace, lcm, turbo, sdxl, sd2, sd1];

/**
 * The family whose signature the folder's graphs have, whatever the folder says its class is.
 * @throws {NorthlightError} `model/family`, `model/missing-file`
 */
export function recogniseFamily(found: FoundFolder): ImageFamily {
  if (isSequenceFolder(found)) {
    throw new NorthlightError(
      'model/family',
      `${found.path} is a model of sequences (${found.className}), which makes no pictures.`,
      'Make sequences with: northlight sample --model FOLDER --out FOLDER',
    );
  }
  const denoiser = requiredDenoiser(found);
  const family = IMAGE_FAMILIES.find((f) => f.fits(found));
  if (family !== undefined) return family;
  const named = IMAGE_FAMILIES.find((f) => f.classNames.test(found.className));
  const inputs = denoiser.signature.inputs.map((p) => p.name).join(', ');
  throw new NorthlightError(
    'model/family',
    named
      ? `${found.path} says that it is a ${found.className}, but its denoiser reads ${inputs}, which is not what ${named.title} reads.`
      : `${found.path} is a ${found.className || 'model without a _class_name'}, of a kind Northlight does not know: its denoiser reads ${inputs}.`,
    named
      ? 'Copy or export the model again, all parts from one place.'
      : `Choose a model of one of these kinds: ${IMAGE_FAMILIES.map((f) => f.title).join(', ')}.`,
  );
}
