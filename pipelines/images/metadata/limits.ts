import { NorthlightError } from '#models/errors.ts';

/** What a picture file may cost us to look into. A file beyond them is refused by name, before memory or time is spent. */
export const LIMITS = {
  /** Bytes of a file whose settings are read. */
  fileBytes: 128 * 1024 * 1024,
  /** Bytes of all its text together, unpacked. */
  textBytes: 16 * 1024 * 1024,
  /** Chunks or segments of a file. */
  parts: 100_000,
  /** Pieces of text among them. */
  texts: 1000,
  /** Pixels of a picture that is decoded: 8192 × 8192. */
  pixels: 2 ** 26,
} as const;

export const COPY_AGAIN = 'The file was cut short or damaged: copy or export it again.';

export function tooManyParts(where: string): NorthlightError {
  return new NorthlightError(
    'picture/too-many-parts',
    `${where} consists of more than ${LIMITS.parts} parts or ${LIMITS.texts} texts.`,
    'No camera or program writes such a file: save the picture again with another program.',
  );
}

export function textTooLong(where: string): NorthlightError {
  return new NorthlightError(
    'picture/text-too-long',
    `${where} holds more than ${LIMITS.textBytes >> 20} MiB of text.`,
    'Save the picture again without its metadata.',
  );
}

export function truncated(where: string, what: string): NorthlightError {
  return new NorthlightError('picture/truncated', `${where} ends in the middle of ${what}.`, COPY_AGAIN);
}
