import { NorthlightError } from '#models/errors.ts';
import { ProtoFault, ProtoReader } from '#models/onnx/proto.ts';
import { badJson, readBytes, type TokenizerSettings } from './folder-files.ts';
import { type TokenizerJson, tokenizerJson } from './tokenizer-json.ts';

/** Kinds of pieces and of models as sentencepiece_model.proto numbers them. */
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;
const UNUSED = 5;
const BYTE = 6;
const UNIGRAM = 1;

interface Piece {
  text: string;
  score: number;
  kind: number;
}

interface SentencePieceModel {
  readonly pieces: Piece[];
  modelType: number;
  charsMap: Uint8Array;
  addDummyPrefix: boolean;
  removeExtraWhitespaces: boolean;
}

/**
 * A Unigram model of SentencePiece (Kudo 2018, arXiv:1804.10959) as the `tokenizer.json` that says the same, closed by
 * the end-of-text token as T5 wants it.
 * @throws {NorthlightError} `tokenizer/bad-json`; `tokenizer/unsupported` for its models of other kinds.
 */
export function sentencePieceJson(path: string, settings: TokenizerSettings): TokenizerJson {
  const model = readModelProto(path);
  const kinds = new Set(model.pieces.map((piece) => piece.kind));
  if (model.modelType !== UNIGRAM || kinds.has(BYTE)) {
    throw new NorthlightError(
      'tokenizer/unsupported',
      `${path} is a SentencePiece model of a kind that Northlight does not read (${kinds.has(BYTE) ? 'with a fallback to bytes' : 'not Unigram'}).`,
      'Add the tokenizer.json of this model to the folder.',
    );
  }
  const unknown = model.pieces.findIndex((piece) => piece.kind === UNKNOWN);
  if (unknown < 0) throw badJson(path, 'it has no piece for what it does not know');
  const eos = settings.eos_token ?? '</s>';
  const eosId = model.pieces.findIndex((piece) => piece.text === eos);
  if (eosId < 0) throw badJson(path, `it lacks ${eos}`);
  const parsed = tokenizerJson.safeParse({
    added_tokens: model.pieces.flatMap(({ text, kind }, id) =>
      [UNKNOWN, CONTROL, USER_DEFINED].includes(kind)
        ? [{ id, content: text, special: kind !== USER_DEFINED, normalized: false }]
        : [],
    ),
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Precompiled', precompiled_charsmap: Buffer.from(model.charsMap).toString('base64') },
        ...(model.removeExtraWhitespaces
          ? [
              { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' },
              { type: 'Replace', pattern: { Regex: '\\A | \\z' }, content: '' },
            ]
          : []),
      ],
    },
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: model.addDummyPrefix ? 'always' : 'never' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ Sequence: { id: 'A', type_id: 0 } }, { SpecialToken: { id: eos, type_id: 0 } }],
      pair: [],
    },
    model: {
      type: 'Unigram',
      // A piece that is not to be used gets a spelling that no text has after normalisation.
      vocab: model.pieces.map(({ text, score, kind }, id) => [kind === UNUSED ? `\u0000${id}` : text, score]),
      unk_id: unknown,
    },
  });
  if (parsed.success) return parsed.data;
  throw badJson(path, parsed.error.issues[0]!.message);
}

function readModelProto(path: string): SentencePieceModel {
  const bytes = readBytes(path);
  const model: SentencePieceModel = {
    pieces: [],
    modelType: UNIGRAM,
    charsMap: new Uint8Array(),
    addDummyPrefix: true,
    removeExtraWhitespaces: true,
  };
  try {
    const reader = new ProtoReader(bytes);
    for (let field = reader.next(); field !== 0; field = reader.next()) {
      if (field === 1) model.pieces.push(readPiece(reader.message()));
      else if (field === 2) readTrainerSpec(reader.message(), model);
      else if (field === 3) readNormalizerSpec(reader.message(), model);
      else reader.skip();
    }
  } catch (error) {
    if (error instanceof ProtoFault) throw badJson(path, error.message);
    throw error;
  }
  return model;
}

function readPiece(reader: ProtoReader): Piece {
  const piece: Piece = { text: '', score: 0, kind: 1 };
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) piece.text = reader.string();
    else if (field === 2) piece.score = reader.float();
    else if (field === 3) piece.kind = reader.int();
    else reader.skip();
  }
  return piece;
}

function readTrainerSpec(reader: ProtoReader, model: SentencePieceModel): void {
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 3) model.modelType = reader.int();
    else reader.skip();
  }
}

function readNormalizerSpec(reader: ProtoReader, model: SentencePieceModel): void {
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 2) model.charsMap = reader.view();
    else if (field === 3) model.addDummyPrefix = reader.int() !== 0;
    else if (field === 4) model.removeExtraWhitespaces = reader.int() !== 0;
    else reader.skip();
  }
}
