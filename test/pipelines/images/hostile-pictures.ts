import { crc32, deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { Rng } from '#models/tensor/rng.ts';
import { encodePng } from '#pipelines/images/images.ts';
import {
  type ExifEntry,
  exifSegment,
  tiff,
  unicodeComment,
  userComment,
  withRiffChunks,
  withSegments,
  xmpSegment,
} from './exif-file.ts';

export interface HostilePicture {
  readonly name: string;
  readonly bytes: Buffer;
}

function chunk(type: string, data: Buffer, length = data.length): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(length, 0);
  body.copy(out, 4);
  out.writeUInt32BE(crc32(body), body.length + 4);
  return out;
}

const SETTINGS = 'a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 8x8';
const MIB = 1 << 20;

/** A header of `width × height` and as many compressed zeros behind it as fit into `bytes`. */
function header(width: number, height: number): Buffer {
  const data = Buffer.alloc(13);
  data.writeUInt32BE(width, 0);
  data.writeUInt32BE(height, 4);
  data.set([8, 2, 0, 0, 0], 8);
  return chunk('IHDR', data);
}

/** Two hundred files that no program writes; the same for one seed. */
export async function hostilePictures(seed: number): Promise<HostilePicture[]> {
  const rng = new Rng(seed);
  const int = (n: number) => Math.floor(rng.uniform() * n);
  const rgb = Uint8Array.from({ length: 32 * 32 * 3 }, () => int(256));
  const grey = sharp(rgb, { raw: { width: 32, height: 32, channels: 3 } });
  const png = await encodePng(rgb, 32, 32, { parameters: SETTINGS, northlight: '{"version":"x"}' });
  const start = png.subarray(0, 33);
  const rest = png.subarray(33);
  const signature = png.subarray(0, 8);
  const jpeg = withSegments(await grey.clone().jpeg().toBuffer(), exifSegment(unicodeComment(SETTINGS, 'MM', 'BE')));
  const plainWebp = await grey.clone().webp().toBuffer();
  const webp = withRiffChunks(plainWebp, ['EXIF', unicodeComment(SETTINGS, 'II', 'LE')]);
  const files: HostilePicture[] = [];
  const add = (name: string, bytes: Buffer) => files.push({ name, bytes });
  const inPng = (name: string, ...chunks: Buffer[]) => add(`png ${name}`, Buffer.concat([start, ...chunks, rest]));
  const text = (keyword: string, value: string) => chunk('tEXt', Buffer.from(`${keyword}\0${value}`, 'latin1'));
  const inJpeg = (name: string, exif: Buffer) => add(`jpeg ${name}`, withSegments(jpeg, exifSegment(exif)));

  // Damage of every kind at random places.
  for (const [kind, whole] of Object.entries({ png, jpeg, webp })) {
    for (let i = 0; i < 18; i++) {
      const cut = int(whole.length);
      add(`${kind} cut at ${cut}`, whole.subarray(0, cut));
      const flipped = Buffer.from(whole);
      for (let k = 0; k <= int(4); k++) {
        const at = int(whole.length);
        flipped[at]! ^= 1 << int(8);
      }
      add(`${kind} with flipped bits ${i}`, flipped);
      const holed = Buffer.from(whole);
      const from = int(whole.length);
      holed.subarray(from, from + 1 + int(64)).fill(int(2) * 255);
      add(`${kind} with a hole at ${from}`, holed);
    }
  }

  // Lengths that lie.
  for (const length of [0x7fffffff, 0xffffffff, MIB, 1, 0])
    inPng(`chunk of ${length}`, chunk('tEXt', Buffer.from('a\0b'), length));
  for (const length of [0, 1, 2, 0xffff]) {
    const lying = withSegments(jpeg, [0xe1, Buffer.from('Exif\0\0II')]);
    lying.writeUInt16BE(length, 4);
    add(`jpeg segment of ${length}`, lying);
  }
  for (const length of [0, 0xffffffff, 0x7fffffff]) {
    const lying = Buffer.from(webp);
    lying.writeUInt32LE(length, 4);
    add(`webp of ${length}`, lying);
    const inner = Buffer.from(webp);
    inner.writeUInt32LE(length, 16);
    add(`webp chunk of ${length}`, inner);
  }

  // Bombs and floods.
  const zeros = deflateSync(Buffer.alloc(64 * MIB), { level: 9 });
  inPng('zTXt bomb', chunk('zTXt', Buffer.concat([Buffer.from('parameters\0\0'), zeros])));
  inPng('iTXt bomb', chunk('iTXt', Buffer.concat([Buffer.from('parameters\0\x01\0\0\0'), zeros])));
  const tenth = deflateSync(Buffer.alloc(6 * MIB), { level: 9 });
  const small = chunk('zTXt', Buffer.concat([Buffer.from('parameters\0\0'), tenth]));
  inPng('many small bombs', ...new Array<Buffer>(999).fill(small));
  inPng('many texts', ...new Array<Buffer>(5000).fill(text('k', 'v')));
  inPng('many chunks', Buffer.concat(new Array<Buffer>(200_000).fill(chunk('teSt', Buffer.alloc(0)))));
  inPng('long text', text('parameters', 'x'.repeat(20 * MIB)));
  inPng('bad compression', chunk('zTXt', Buffer.from('parameters\0\0not zlib at all')));
  inPng('cut compression', chunk('zTXt', Buffer.concat([Buffer.from('parameters\0\0'), tenth.subarray(0, 99)])));
  add(
    'png of zeros with a bomb for pixels',
    Buffer.concat([signature, header(60_000, 60_000), chunk('IDAT', zeros), chunk('IEND', Buffer.alloc(0))]),
  );
  for (const [w, h] of [
    [0x7fffffff, 0x7fffffff],
    [0xffffffff, 1],
    [0, 0],
    [100_000, 1],
    [30_000, 30_000],
  ] as const) {
    add(
      `png of ${w} × ${h}`,
      Buffer.concat([
        signature,
        header(w, h),
        chunk('IDAT', deflateSync(Buffer.alloc(1000))),
        chunk('IEND', Buffer.alloc(0)),
      ]),
    );
  }
  const wide = Buffer.from(jpeg);
  const frame = wide.indexOf(Buffer.of(0xff, 0xc0));
  wide.writeUInt16BE(65_500, frame + 5);
  wide.writeUInt16BE(65_500, frame + 7);
  add('jpeg of 65500 × 65500', wide);
  const huge = Buffer.from(plainWebp);
  huge.writeUInt16LE(0x3fff, 26);
  huge.writeUInt16LE(0x3fff, 28);
  add('webp of 16383 × 16383', huge);
  add('jpeg of fill bytes', Buffer.concat([Buffer.of(0xff, 0xd8), Buffer.alloc(8 * MIB, 0xff)]));
  add(
    'jpeg of empty segments',
    Buffer.concat([Buffer.of(0xff, 0xd8), ...new Array<Buffer>(300_000).fill(Buffer.of(0xff, 0xe1, 0, 2))]),
  );
  const flood = Buffer.concat([webp, Buffer.from('JUNK\0\0\0\0'.repeat(300_000), 'latin1')]);
  flood.writeUInt32LE(flood.length - 8, 4);
  add('webp of empty chunks', flood);

  // Directories that lead in circles or out of the file.
  const entry = (tag: number, type: number, count: number, value: Buffer | number): ExifEntry => ({
    tag,
    type,
    count,
    value,
  });
  inJpeg('directory that is itself', tiff('II', [entry(0x8769, 4, 1, 8)]));
  inJpeg(
    'directories in a circle',
    tiff('MM', [entry(0x8769, 4, 1, 8), entry(0x8769, 4, 1, 14)], [entry(0x8769, 4, 1, 8)]),
  );
  inJpeg(
    'many directories',
    tiff(
      'II',
      Array.from({ length: 5000 }, (_, i) => entry(0x8769, 4, 1, 8 + i)),
    ),
  );
  for (const value of [0xffffffff, 0x7fffffff, 1 << 16]) {
    inJpeg(`comment at ${value}`, tiff('II', [], [entry(0x9286, 7, 100, value)]));
    inJpeg(`comment of ${value} bytes`, tiff('MM', [], [entry(0x9286, 7, value, 8)]));
    inJpeg(
      `first directory at ${value}`,
      Buffer.concat([Buffer.from('II*\0'), Buffer.from(new Uint32Array([value]).buffer)]),
    );
  }
  inJpeg('EXIF of one byte', Buffer.from('I'));
  inJpeg('EXIF that is another', exifSegment(exifSegment(tiff('II', []))[1])[1]);

  // Texts that are none.
  for (const body of ['UNICODE\0\xd8', 'UNICODE\0\xff\xfe\x00\xd8\x00\xd8', 'UNICODE\0', '', 'JIS\0\0\0\0\0\xff\xff']) {
    inJpeg(`comment ${JSON.stringify(body)}`, userComment('II', Buffer.from(body, 'latin1')));
  }
  const badUtf8 = Buffer.concat([
    Buffer.from('parameters\0\0\0\0\0'),
    Buffer.from([0xff, 0xfe, 0xc0, 0x80, 0xed, 0xa0, 0x80, 0xf8]),
  ]);
  inPng('bad UTF-8', chunk('iTXt', badUtf8));
  inPng(
    'text without an end',
    chunk('tEXt', Buffer.from('no end at all')),
    chunk('iTXt', Buffer.from('a\0\0')),
    chunk('zTXt', Buffer.from('a\0')),
  );
  inPng('keyword __proto__', text('__proto__', SETTINGS), text('constructor', SETTINGS));
  inPng('JSON a million deep', text('prompt', `{"a":${'['.repeat(MIB)}`));
  inPng(
    'JSON graph of circles',
    text(
      'prompt',
      JSON.stringify(
        Object.fromEntries(
          Array.from({ length: 4000 }, (_, i) => [
            String(i),
            { class_type: 'SaveImage', inputs: { a: [String((i + 1) % 4000), 0], b: [String((i * 7) % 4000), 0] } },
          ]),
        ),
      ),
    ),
  );
  inPng('settings without end', text('parameters', `p\n${'a '.repeat(MIB)}:1, b:`.repeat(2)));
  inPng('pairs without end', text('parameters', `p\n${'ab:"\\'.repeat(200_000)}`));
  inPng('tags without end', text('parameters', `${'<lora:'.repeat(100_000)}\nSteps: 1, Seed: 1, Size: 1x1`));
  inPng('northlight of another kind', text('northlight', '{"version":1,"model":[],"adapters":{"length":1e9}}'));
  inPng(
    'swarm of another kind',
    text('parameters', '{"sui_image_params":{"loras":{"a":1},"loraweights":7,"seed":"x","model":[]}}'),
  );
  const nested = `${'<x:xmpmeta><exif:UserComment><rdf:Alt><rdf:li>'.repeat(1400)}&lol;`;
  add('jpeg with nested XMP', withSegments(jpeg, xmpSegment(nested)));
  add(
    'jpeg with entities in XMP',
    withSegments(
      jpeg,
      xmpSegment(
        `<!DOCTYPE l [<!ENTITY a "${'b'.repeat(1000)}"><!ENTITY c "&a;&a;&a;">]><exif:UserComment>&c;&c;</exif:UserComment>`,
      ),
    ),
  );
  inPng(
    'XMP without end',
    chunk('iTXt', Buffer.from(`XML:com.adobe.xmp\0\0\0\0\0<exif:UserComment>${'<rdf:li'.repeat(MIB)}`)),
  );
  inPng(
    'XMP with numbers for letters',
    chunk(
      'iTXt',
      Buffer.from(`XML:com.adobe.xmp\0\0\0\0\0<exif:UserComment>&#x110000;&#0;&#99999999;&#xD800;</exif:UserComment>`),
    ),
  );
  add('webp with XMP and EXIF of nothing', withRiffChunks(webp, ['XMP ', Buffer.alloc(0)], ['EXIF', Buffer.alloc(0)]));
  inPng('second header', header(9, 9), header(1, 1));
  inPng('EXIF in a circle', chunk('eXIf', tiff('II', [entry(0x8769, 4, 1, 8)])));
  add('nothing', Buffer.alloc(0));
  add('a signature', signature);
  add('AVIF of nothing', Buffer.from('\0\0\0\x18ftypavif\0\0\0\0avifmif1', 'latin1'));
  add(
    'AVIF with a box of 2⁶⁴',
    Buffer.concat([Buffer.from('\0\0\0\x18ftypavif\0\0\0\0avifmif1\0\0\0\x01meta', 'latin1'), Buffer.alloc(8, 0xff)]),
  );
  for (let i = 0; files.length < 200; i++) {
    const noise = Buffer.from(Uint8Array.from({ length: 200 + int(2000) }, () => int(256)));
    [signature, Buffer.of(0xff, 0xd8, 0xff), Buffer.from('RIFF\x40\0\0\0WEBP')][i % 3]!.copy(noise);
    add(`noise ${i}`, noise);
  }
  return files;
}
