import type { OpDefinition } from '#models/ops/define.ts';
import { attentionOps } from './attention.ts';
import { convOps } from './conv.ts';
import { elementwiseOps } from './elementwise.ts';
import { matmulOps } from './matmul.ts';
import { normalizationOps } from './normalization.ts';
import { positionBiasOps } from './position-bias.ts';
import { quantizedOps } from './quantized.ts';
import { rotaryOps } from './rotary.ts';

/** ONNX Runtime's own operators, as its optimisers write them into files. All are decomposed on import. */
export const contribOps: readonly OpDefinition[] = [
  ...attentionOps,
  ...convOps,
  ...elementwiseOps,
  ...matmulOps,
  ...normalizationOps,
  ...positionBiasOps,
  ...quantizedOps,
  ...rotaryOps,
];
