import { NorthlightError } from '#models/errors.ts';
import type { ImageFamily } from './family.ts';
import { lcm } from './lcm.ts';
import { pixelSpace } from './pixel-space.ts';
import { requiredDenoiser } from './ports.ts';
import { sd1 } from './sd1.ts';
import { sd2 } from './sd2.ts';
import { sdxl } from './sdxl.ts';
import { turbo } from './turbo.ts';
import type { FoundFolder } from './types.ts';

/** Every family of images, the more particular before those whose signature also fits it. */
export const IMAGE_FAMILIES: readonly ImageFamily[] = [pixelSpace, lcm, turbo, sdxl, sd2, sd1];

/**
 * The family whose signature the folder's graphs have; where several do, the one whose class name it has.
 * @throws {NorthlightError} `model/family`, `model/missing-file`
 */
export function recogniseFamily(found: FoundFolder): ImageFamily {
  const denoiser = requiredDenoiser(found);
  const fitting = IMAGE_FAMILIES.filter((family) => family.fits(found));
  const family = fitting.find((f) => f.classNames.test(found.className)) ?? fitting[0];
  if (family !== undefined) return family;
  const inputs = denoiser.signature.inputs.map((p) => p.name).join(', ');
  throw new NorthlightError(
    'model/family',
    `${found.path} is a ${found.className || 'model without a _class_name'} of a kind Northlight does not know: its denoiser reads ${inputs}.`,
    `Choose one of these: ${IMAGE_FAMILIES.map((f) => f.title).join(', ')}.`,
  );
}
