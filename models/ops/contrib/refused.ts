const CACHE = 'Export the model for whole sequences, without a key/value cache (use_cache=False).';
const UNPACK = 'Optimise the model again without packing away the padding (packing mode off).';
const INTEGER = 'Optimise the model again without quantised activations (weights only, as MatMulNBits).';
const SEARCH = 'Export the network itself, without the search around it.';
const PLAIN = 'Optimise the model again at level basic, which keeps standard operators.';

/** Operators of `com.microsoft` that exist and that we do not take, with what to do about each. */
const REFUSED: Readonly<Record<string, string>> = {
  PackedAttention: UNPACK,
  PackedMultiHeadAttention: UNPACK,
  RemovePadding: UNPACK,
  RestorePadding: UNPACK,
  PagedAttention: CACHE,
  SparseAttention: CACHE,
  DecoderAttention: CACHE,
  DecoderMaskedSelfAttention: CACHE,
  DecoderMaskedMultiHeadAttention: CACHE,
  BeamSearch: SEARCH,
  GreedySearch: SEARCH,
  Sampling: SEARCH,
  WhisperBeamSearch: SEARCH,
  DynamicQuantizeMatMul: INTEGER,
  MatMulIntegerToFloat: INTEGER,
  QGemm: INTEGER,
  QLinearAdd: INTEGER,
  QLinearConcat: INTEGER,
  QLinearConv: INTEGER,
  QLinearMul: INTEGER,
  QLinearSigmoid: INTEGER,
  QLinearSoftmax: INTEGER,
  QOrderedAttention: INTEGER,
  QOrderedMatMul: INTEGER,
  QEmbedLayerNormalization: INTEGER,
  MatMulBnb4: 'Quantise the model to MatMulNBits instead.',
  MatMulFpQ4: 'Quantise the model to MatMulNBits instead.',
  LongformerAttention: PLAIN,
  MoE: PLAIN,
  QMoE: PLAIN,
};

/** What to do about an operator of the runtime's own that we do not take; undefined for any other. */
export function refusedHint(domain: string, opType: string): string | undefined {
  if (domain === 'com.microsoft.nchwc' || domain === 'com.ms.internal.nhwc')
    return 'The file was saved after a layout change for one processor: save it at level extended, not all.';
  return domain === 'com.microsoft' ? REFUSED[opType] : undefined;
}
