import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fc, test as prop } from '@fast-check/vitest';
import { afterAll, describe, expect, test } from 'vitest';
import { NorthlightError } from '#models/errors.ts';
import { clipJson } from '#models/families/tokenizers/clip-bpe.ts';
import { readSettings } from '#models/families/tokenizers/folder-files.ts';
import { frame, loadTokenizer, type PromptTokenizer, wordRoom } from '#models/families/tokenizers/index.ts';
import { ProtoWriter } from '#models/onnx/proto.ts';
import { TOKEN_COUNT, tokenize } from '#pipelines/recipes/flora/tokenizer.ts';

const root = mkdtempSync(join(tmpdir(), 'northlight-tokenizers-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const repository = join(import.meta.dirname, '../../../..');
const golden = join(repository, 'test/golden/tokenizers');
let folders = 0;

/** A new folder with these files; objects are written as JSON. `from`: a golden folder to start from. */
function folderOf(files: Record<string, unknown>, from?: 'clip' | 't5'): string {
  const folder = join(root, `${folders++}`);
  mkdirSync(folder);
  if (from) cpSync(join(golden, from), folder, { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    const raw = typeof content === 'string' || content instanceof Uint8Array;
    writeFileSync(join(folder, name), raw ? content : JSON.stringify(content));
  }
  return folder;
}

/** A text in one run of an encoder, cut where it is too long. */
const encodeFixed = (tokenizer: PromptTokenizer, text: string, length: number) =>
  frame(tokenizer, tokenizer.encode(text).slice(0, wordRoom(tokenizer, length)), length);

const code = (name: string) => expect.objectContaining({ code: `tokenizer/${name}` });

test.each([
  'a red tulip with two leaves in a vase on a cream background',
  '',
  'A RED Tulip!',
  'a red tulip, a white lily',
  'a zebra on a bicycle',
  Array.from({ length: 60 }, () => 'red').join(' '),
])('tokenizer.json gives the ids that the bundled model was trained with: "%s"', (text) => {
  const tokenizer = loadTokenizer(join(repository, 'models/bundled/flora/tokenizer'));
  expect(encodeFixed(tokenizer, text, TOKEN_COUNT)).toEqual(tokenize(text));
});

test('CLIP opens and closes a text, and pads with its closing token', () => {
  const clip = loadTokenizer(join(golden, 'clip'));
  expect(clip).toMatchObject({ bos: 49406, eos: 49407, pad: 49407, comma: 267, maxLength: 77 });
  // As transformers gives them for "a photo" at length 6.
  expect(encodeFixed(clip, 'a photo', 6)).toEqual([49406, 320, 1125, 49407, 49407, 49407]);
  expect(encodeFixed(clip, 'a photo of a horse', 5)).toEqual([49406, 320, 1125, 539, 49407]);
});

test('the map of special tokens decides the padding: id 0 for OpenCLIP, whatever the older configuration says', () => {
  expect(loadTokenizer(folderOf({ 'special_tokens_map.json': { pad_token: '!' } }, 'clip')).pad).toBe(0);
  const asObject = { pad_token: { content: '!', lstrip: false, normalized: false } };
  expect(loadTokenizer(folderOf({ 'special_tokens_map.json': asObject }, 'clip')).pad).toBe(0);
});

test('a configuration that lists its own tokens goes before the map of special tokens', () => {
  const files = {
    'tokenizer_config.json': { pad_token: '<|endoftext|>', added_tokens_decoder: {} },
    'special_tokens_map.json': { pad_token: '!' },
  };
  expect(loadTokenizer(folderOf(files, 'clip')).pad).toBe(49407);
});

test('an exclamation mark is a word also where it pads', () => {
  const openClip = loadTokenizer(folderOf({ 'special_tokens_map.json': { pad_token: '!' } }, 'clip'));
  const ids = [49406, 3306, 256, 49407, 0, 0];
  expect(encodeFixed(openClip, 'hello!', 6)).toEqual(ids);
  const json = clipJson(join(golden, 'clip'), readSettings(join(golden, 'clip')));
  const added_tokens = [...json.added_tokens, { id: 0, content: '!', special: true, normalized: false }];
  const files = { 'tokenizer.json': { ...json, added_tokens }, 'tokenizer_config.json': { pad_token: '!' } };
  expect(encodeFixed(loadTokenizer(folderOf(files)), 'hello!', 6)).toEqual(ids);
});

test('T5 only closes a text', () => {
  expect(loadTokenizer(join(golden, 't5'))).toMatchObject({ bos: null, eos: 1, pad: 0, maxLength: 512 });
});

test('without settings CLIP still knows its special tokens, and no length is no limit', () => {
  const folder = folderOf({}, 'clip');
  rmSync(join(folder, 'tokenizer_config.json'));
  expect(loadTokenizer(folder)).toMatchObject({ bos: 49406, eos: 49407, pad: 49407, maxLength: Infinity });
  const vast = folderOf({ 'tokenizer_config.json': '{"model_max_length": 1000000000000000019884624838656}' }, 'clip');
  expect(loadTokenizer(vast).maxLength).toBe(Infinity);
});

test('an encoder without room for a word is refused', () => {
  const clip = loadTokenizer(join(golden, 'clip'));
  expect(wordRoom(clip, 3)).toBe(1);
  expect(() => wordRoom(clip, 2)).toThrow(code('no-room'));
});

/** A `tokenizer.json` of whole words. */
const words = (model: object, rest: object = {}) => ({
  model: { type: 'WordLevel', vocab: { '[PAD]': 0, '[UNK]': 1, red: 2, tulip: 3 }, ...model },
  pre_tokenizer: { type: 'WhitespaceSplit' },
  ...rest,
});
const padded = { 'tokenizer_config.json': { pad_token: '[PAD]' } };

test('words that a list of words lacks are its unknown token, or a named error where it has none', () => {
  const known = loadTokenizer(folderOf({ 'tokenizer.json': words({ unk_token: '[UNK]' }), ...padded }));
  expect(known.encode('red zebra tulip')).toEqual([2, 1, 3]);
  const strict = loadTokenizer(folderOf({ 'tokenizer.json': words({}), ...padded }));
  expect(strict.encode('red tulip')).toEqual([2, 3]);
  expect(() => strict.encode('red zebra')).toThrow(code('no-unknown'));
});

test('padding may be said in tokenizer.json alone', () => {
  expect(loadTokenizer(folderOf({ 'tokenizer.json': words({}, { padding: { pad_id: 3 } }) })).pad).toBe(3);
  expect(() => loadTokenizer(folderOf({ 'tokenizer.json': words({}) }))).toThrow(code('no-padding'));
});

/** A SentencePiece model: pieces as [text, score, kind], the kind of model, and what its normalisation says. */
function spiece(pieces: readonly [string, number, number][], type = 1, normalizer: Record<number, number> = {}) {
  const writer = new ProtoWriter();
  for (const [text, score, kind] of pieces) {
    writer.message(1, (piece) => {
      piece.string(1, text);
      piece.float(2, score);
      piece.int(3, kind);
    });
  }
  writer.message(2, (trainer) => trainer.int(3, type));
  writer.message(3, (spec) => {
    for (const [field, value] of Object.entries(normalizer)) spec.int(Number(field), value);
  });
  return Buffer.concat(writer.parts());
}
const special: [string, number, number][] = [
  ['<pad>', 0, 3],
  ['</s>', 0, 3],
  ['<unk>', 0, 2],
];
const letters: [string, number, number][] = [
  ['▁', -3, 1],
  ['a', -4, 1],
  ['b', -4, 1],
  ['▁ab', -2, 1],
];

test('a Unigram model takes the likeliest pieces, once unknown for a run of what it lacks', () => {
  const tokenizer = loadTokenizer(folderOf({ 'spiece.model': spiece([...special, ...letters]) }));
  expect(tokenizer.encode(' ab  ba ')).toEqual([6, 3, 5, 4]);
  expect(tokenizer.encode('axyzb')).toEqual([3, 4, 2, 5]);
});

test('pieces that are not to be used are not used, and those of the user are never split', () => {
  const unused: [string, number, number] = ['▁ab', -2, 5];
  const own: [string, number, number] = ['bb', 0, 4];
  const model = spiece([...special, ...letters.slice(0, 3), unused, own]);
  const tokenizer = loadTokenizer(folderOf({ 'spiece.model': model }));
  expect(tokenizer.encode('ab')).toEqual([3, 4, 5]);
  expect(tokenizer.encode('abb')).toEqual([3, 4, 7]);
});

test('a model that keeps spaces and puts none before a text does so', () => {
  const model = spiece([...special, ...letters], 1, { 3: 0, 4: 0 });
  const tokenizer = loadTokenizer(folderOf({ 'spiece.model': model }));
  expect(tokenizer.encode('a  b')).toEqual([4, 3, 3, 5]);
});

test.each<[string, string, Record<string, unknown>, ('clip' | 't5')?]>([
  ['an empty folder', 'missing-file', {}],
  ['merges.txt missing', 'missing-file', { 'vocab.json': { 'a</w>': 0, '<|startoftext|>': 1, '<|endoftext|>': 2 } }],
  ['text that is not JSON', 'bad-json', { 'tokenizer.json': '{"model":' }],
  ['a list', 'bad-json', { 'tokenizer.json': [] }],
  ['no model', 'bad-json', { 'tokenizer.json': { added_tokens: [] } }],
  ['nesting without end', 'bad-json', { 'tokenizer.json': '['.repeat(100_000) }],
  ['ids that are text', 'bad-json', { 'tokenizer.json': words({ vocab: { a: 'x' } }) }],
  ['a negative id', 'bad-json', { 'tokenizer.json': words({ vocab: { a: -1 } }) }],
  ['an id beyond all vocabularies', 'bad-json', { 'tokenizer.json': words({ vocab: { a: 2 ** 40 } }) }],
  ['an empty added token', 'bad-json', { 'tokenizer.json': words({}, { added_tokens: [{ id: 0, content: '' }] }) }],
  ['byte pairs without merges', 'bad-json', { 'tokenizer.json': words({ type: 'BPE' }) }],
  ['merges of three', 'bad-json', { 'tokenizer.json': words({ type: 'BPE', merges: [['a', 'b', 'c']] }) }],
  ['scores that are text', 'bad-json', { 'tokenizer.json': words({ type: 'Unigram', vocab: [['a', 'b']] }) }],
  [
    'an unknown piece out of range',
    'bad-json',
    { 'tokenizer.json': words({ type: 'Unigram', vocab: [['a', 0]], unk_id: 3 }) },
  ],
  ['an unknown step', 'bad-json', { 'tokenizer.json': words({}, { normalizer: { type: 'Rot13' } }) }],
  [
    'a pattern that is none',
    'bad-json',
    { 'tokenizer.json': words({}, { normalizer: { type: 'Replace', pattern: { Regex: '(' } } }) },
  ],
  [
    'steps that are no list',
    'bad-json',
    { 'tokenizer.json': words({}, { normalizer: { type: 'Sequence', normalizers: 3 } }) },
  ],
  [
    'a frame without its parts',
    'bad-json',
    { 'tokenizer.json': words({}, { post_processor: { type: 'TemplateProcessing' } }) },
  ],
  [
    'a frame of unknown tokens',
    'bad-json',
    {
      'tokenizer.json': words({}, { post_processor: { type: 'BertProcessing', cls: ['[A]', 0], sep: ['[B]', 1] } }),
      ...padded,
    },
  ],
  [
    'a step without its numbers',
    'bad-json',
    { 'tokenizer.json': words({}, { normalizer: { type: 'Replace', pattern: { String: 3 } } }) },
  ],
  [
    'a broken normalisation',
    'bad-json',
    { 'tokenizer.json': words({}, { normalizer: { type: 'Precompiled', precompiled_charsmap: 'AAAA' } }) },
  ],
  ['settings of another kind', 'bad-json', { 'tokenizer_config.json': { pad_token: 3 } }, 'clip'],
  ['a list of settings', 'bad-json', { 'special_tokens_map.json': [] }, 'clip'],
  ['a padding token that is not there', 'no-padding', { 'tokenizer_config.json': { pad_token: '[PAD]' } }, 'clip'],
  ['an opening token that is not there', 'bad-json', { 'tokenizer_config.json': { bos_token: '<s>' } }, 'clip'],
  ['merges that are no pairs', 'bad-json', { 'merges.txt': '#version: 0.2\ni n\nthe\n' }, 'clip'],
  ['a vocabulary of another kind', 'unknown-kind', { 'vocab.json': { Ġa: 0 }, 'merges.txt': '' }],
  ['a vocabulary that is a list', 'bad-json', { 'vocab.json': ['a</w>'], 'merges.txt': '' }],
  ['SentencePiece with byte pairs', 'unsupported', { 'spiece.model': spiece([...special, ...letters], 2) }],
  ['SentencePiece with bytes', 'unsupported', { 'spiece.model': spiece([...special, ['<0x00>', 0, 6]]) }],
  ['SentencePiece without an unknown piece', 'bad-json', { 'spiece.model': spiece(letters) }],
  ['SentencePiece without a closing piece', 'bad-json', { 'spiece.model': spiece([['<unk>', 0, 2]]) }],
  ['an empty SentencePiece model', 'bad-json', { 'spiece.model': new Uint8Array() }],
])('%s is a named error: tokenizer/%s', (_, name, files, from) => {
  expect(() => loadTokenizer(folderOf(files, from))).toThrow(code(name));
});

test('a file larger than any vocabulary is refused before it is read', () => {
  const folder = folderOf({ 'tokenizer.json': '' });
  truncateSync(join(folder, 'tokenizer.json'), 2 ** 30);
  expect(() => loadTokenizer(folder)).toThrow(code('too-large'));
});

/** Loads and encodes, and lets nothing but a named error pass. */
function survives(folder: string): void {
  try {
    loadTokenizer(folder).encode('a red tulip, <pad> 花 \u{1f338}');
  } catch (error) {
    expect(error).toBeInstanceOf(NorthlightError);
  }
}

const model = readFileSync(join(golden, 't5/spiece.model'));
prop.prop(
  [fc.array(fc.tuple(fc.nat(model.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }), fc.nat(model.length)],
  {
    numRuns: 30,
  },
)('a damaged SentencePiece model works or is a named error', (changes, length) => {
  const bytes = Uint8Array.from(model);
  for (const [at, value] of changes) bytes[at] = value;
  survives(folderOf({ 'spiece.model': length % 2 === 0 ? bytes : bytes.subarray(0, length) }));
});

const flora = JSON.parse(
  readFileSync(join(repository, 'models/bundled/flora/tokenizer/tokenizer.json'), 'utf8'),
) as Record<string, unknown>;
prop.prop([fc.constantFrom(...Object.keys(flora), 'padding'), fc.jsonValue()], { numRuns: 100 })(
  'a tokenizer.json with any value at any key works or is a named error',
  (key, value) => survives(folderOf({ 'tokenizer.json': { ...flora, [key]: value }, ...padded })),
);

describe('a pattern that backtracks without end', () => {
  const hostile = (pattern: string) =>
    folderOf({
      'tokenizer.json': {
        pre_tokenizer: { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false },
        post_processor: null,
        model: { type: 'WordLevel', vocab: { '[UNK]': 0, a: 1 }, unk_token: '[UNK]' },
      },
      'tokenizer_config.json': { pad_token: '[UNK]', unk_token: '[UNK]' },
    });

  test('is given up by name, at once where it is known already, and other tokenizers go on', () => {
    const tokenizer = loadTokenizer(hostile('(?:a|a)*(?!a|b)c'));
    expect(tokenizer.encode('a')).toEqual([1]);
    const start = performance.now();
    expect(() => tokenizer.encode(`${'a'.repeat(60)}b`)).toThrow(code('too-slow'));
    const first = performance.now() - start;
    expect(first).toBeLessThan(15_000);
    for (let i = 0; i < 20; i++) expect(() => tokenizer.encode('a')).toThrow(code('too-slow'));
    expect(performance.now() - start - first).toBeLessThan(1000);
    expect(loadTokenizer(join(golden, 'clip')).encode('a photo')).toEqual([320, 1125]);
  });

  test('is found while loading where it needs no long text', () => {
    const nested = `${'(?:'.repeat(12)}.?${'.?)*'.repeat(12)}(?!.|$)c`;
    expect(() => loadTokenizer(hostile(nested))).toThrow(code('too-slow'));
  });
});
