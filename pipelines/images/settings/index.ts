import { NorthlightError } from '#models/errors.ts';
import { readAt, withFile } from '#models/files.ts';
import { readMetadata } from '#pipelines/images/images.ts';
import { type ExifTexts, readExifTexts } from '#pipelines/images/metadata/exif.ts';
import { isJpeg, type MetadataBlocks, readJpegBlocks } from '#pipelines/images/metadata/jpeg.ts';
import { LIMITS } from '#pipelines/images/metadata/limits.ts';
import { isWebp, readWebpBlocks } from '#pipelines/images/metadata/webp.ts';
import { readXmpComment } from '#pipelines/images/metadata/xmp.ts';
import { isPng, readPngChunks, textOfChunks } from '#pipelines/images/png-text.ts';
import { a1111Settings } from './a1111.ts';
import { comfySettings } from './comfyui.ts';
import { drawThingsSettings } from './draw-things.ts';
import { invokeSettings } from './invokeai.ts';
import { northlightPicture } from './northlight.ts';
import { swarmSettings } from './swarmui.ts';
import type { PictureSettings } from './types.ts';

export type { NorthlightSettings } from './northlight-settings.ts';
export type { PictureSettings, SettingsSource, UsedLora } from './types.ts';

/**
 * How a picture (PNG, JPEG, WebP or AVIF, by path or content) was made, as its file tells in the words of Northlight,
 * AUTOMATIC1111 and its relatives, ComfyUI, InvokeAI, SwarmUI or Draw Things; null when it does not tell. Pixels are not
 * decoded.
 * @throws {NorthlightError} `picture/…` for a file that is damaged or beyond the limits, `file/…` for a path.
 */
export async function readPictureSettings(picture: string | Uint8Array): Promise<PictureSettings | null> {
  const where = typeof picture === 'string' ? picture : 'The picture';
  const bytes = typeof picture === 'string' ? readFile(picture) : picture;
  if (bytes.length > LIMITS.fileBytes) throw tooLarge(where);
  return settingsOf(await textsOf(bytes, where));
}

/** The texts of a file that settings are looked for in. */
interface PictureTexts {
  /** By PNG keyword; the user comment of EXIF stands under `parameters`. */
  readonly byKeyword: Readonly<Record<string, string>>;
  readonly xmp: string | null;
}

async function textsOf(bytes: Uint8Array, where: string): Promise<PictureTexts> {
  if (isPng(bytes)) {
    const chunks = readPngChunks(bytes, where);
    const text = textOfChunks(chunks, where);
    const exif = chunks.find((chunk) => chunk.type === 'eXIf')?.data;
    return { byKeyword: { ...exifKeywords(exif), ...text }, xmp: text['XML:com.adobe.xmp'] ?? null };
  }
  if (isJpeg(bytes)) return ofBlocks(readJpegBlocks(bytes, where));
  if (isWebp(bytes)) return ofBlocks(readWebpBlocks(bytes, where));
  if (isAvif(bytes)) return ofBlocks(await readMetadata(bytes));
  throw new NorthlightError(
    'picture/unknown-format',
    `${where} is not a PNG, JPEG, WebP or AVIF picture.`,
    'Settings are kept in pictures of these kinds: choose the file as the program wrote it.',
  );
}

function ofBlocks({ exif, xmp }: MetadataBlocks): PictureTexts {
  return { byKeyword: exifKeywords(exif ?? undefined), xmp: xmp && Buffer.from(xmp).toString('utf8') };
}

function exifKeywords(exif: Uint8Array | undefined): Record<string, string> {
  if (!exif || exif.length > LIMITS.textBytes) return {};
  const found: ExifTexts = readExifTexts(exif);
  const parameters = found.userComment ?? found.imageDescription;
  const comfy = [found.model, found.make].find((text) => text?.startsWith('prompt:'));
  return {
    ...(parameters === undefined ? {} : { parameters }),
    ...(comfy === undefined ? {} : { prompt: comfy.slice('prompt:'.length) }),
  };
}

function settingsOf({ byKeyword: texts, xmp }: PictureTexts): PictureSettings | null {
  const { northlight, parameters, prompt } = texts;
  const comment = xmp === null || xmp.length > LIMITS.textBytes ? null : readXmpComment(xmp);
  return (
    (northlight === undefined ? null : northlightPicture(northlight)) ??
    (parameters === undefined ? null : (swarmSettings(parameters) ?? a1111Settings(parameters))) ??
    invokeSettings(texts.invokeai_metadata, texts.invokeai_graph) ??
    (prompt === undefined ? null : comfySettings(prompt)) ??
    (comment === null ? null : (drawThingsSettings(comment) ?? swarmSettings(comment) ?? a1111Settings(comment)))
  );
}

/** ISO/IEC 14496-12: the file type box names the brand. */
function isAvif(bytes: Uint8Array): boolean {
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(64, bytes.byteLength)).toString('latin1');
  return start.slice(4, 8) === 'ftyp' && /avif|avis|mif1|heic/.test(start.slice(8));
}

function readFile(path: string): Uint8Array {
  return withFile(path, (fd, sizeBytes) => {
    if (sizeBytes > LIMITS.fileBytes) throw tooLarge(path);
    return readAt(fd, 0, sizeBytes, path);
  });
}

function tooLarge(where: string): NorthlightError {
  return new NorthlightError(
    'picture/too-large',
    `${where} is larger than ${LIMITS.fileBytes >> 20} MiB.`,
    'Choose a smaller picture.',
  );
}
