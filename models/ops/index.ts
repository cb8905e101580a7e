import { NorthlightError } from '#models/errors.ts';
import { GraphBuilder, type InferNode } from '#models/onnx/builder.ts';
import { activations } from './activations.ts';
import { attention, rotaryEmbedding } from './attention.ts';
import { col2Im } from './col2im.ts';
import { contribOps } from './contrib/index.ts';
import { refusedHint } from './contrib/refused.ts';
import { conv, convTranspose } from './conv.ts';
import { type InferContext, NodeAttributes, type OpDefinition } from './define.ts';
import { det } from './determinant.ts';
import { einsum } from './einsum.ts';
import { elementwise } from './elementwise.ts';
import { affineGrid, gridSample } from './grid-sample.ts';
import { negativeLogLikelihoodLoss, softmaxCrossEntropyLoss } from './losses.ts';
import { gemm, matmul } from './matmul.ts';
import { batchNormalization, groupNormalization, instanceNormalization, layerNormalization } from './normalization.ts';
import { cumProd, cumSum, hardmax, oneHot, reverseSequence, topK } from './order.ts';
import { otherNorms } from './other-norms.ts';
import { centerCropPad, pad } from './pad.ts';
import { averagePool, globalAveragePool, globalLpPool, globalMaxPool, lpPool, maxPool, maxUnpool } from './pool.ts';
import { quantizeOps } from './quantize.ts';
import { randomOps } from './random.ts';
import { recurrentOps } from './recurrent.ts';
import { reductions } from './reduce.ts';
import { resize } from './resize.ts';
import { scan } from './scan.ts';
import { scatterOps } from './scatter.ts';
import { selectionOps } from './selection.ts';
import { shapeOps } from './shape.ts';
import { logSoftmax, softmax } from './softmax.ts';
import { spectralOps } from './spectral.ts';

/** Every operator we know, by domain and type. */
export const operators: ReadonlyMap<string, OpDefinition> = new Map(
  [
    ...elementwise,
    ...activations,
    ...shapeOps,
    pad,
    centerCropPad,
    ...scatterOps,
    scan,
    ...selectionOps,
    topK,
    cumSum,
    cumProd,
    reverseSequence,
    oneHot,
    hardmax,
    col2Im,
    gridSample,
    affineGrid,
    ...reductions,
    matmul,
    gemm,
    det,
    einsum,
    conv,
    convTranspose,
    layerNormalization,
    instanceNormalization,
    groupNormalization,
    batchNormalization,
    ...otherNorms,
    attention,
    rotaryEmbedding,
    softmax,
    logSoftmax,
    maxPool,
    averagePool,
    globalAveragePool,
    globalMaxPool,
    lpPool,
    globalLpPool,
    maxUnpool,
    negativeLogLikelihoodLoss,
    softmaxCrossEntropyLoss,
    ...quantizeOps,
    ...randomOps,
    ...spectralOps,
    ...recurrentOps,
    resize,
    ...contribOps,
  ].map((d) => [operatorKey(d.domain ?? '', d.opType), d]),
);

export function operatorKey(domain: string, opType: string): string {
  return domain === '' || domain === 'ai.onnx' ? opType : `${domain}::${opType}`;
}

/** @throws {NorthlightError} `onnx/unknown-operator` for an operator with no definition. */
export function operatorOf(node: { domain: string; opType: string; name: string }): OpDefinition {
  const definition = operators.get(operatorKey(node.domain, node.opType));
  if (!definition) {
    throw new NorthlightError(
      'onnx/unknown-operator',
      `Operator ${operatorKey(node.domain, node.opType)} at node "${node.name}" is not known.`,
      refusedHint(node.domain, node.opType) ??
        'The model can still be run; to fine-tune it, add the operator in models/ops/.',
    );
  }
  return definition;
}

export const inferNode: InferNode = (node, inputs, constant) => {
  const context: InferContext = {
    node,
    attrs: new NodeAttributes(node),
    inputs,
    x: (i) => {
      const v = inputs[i];
      if (!v) throw new NorthlightError('onnx/missing-input', `${node.opType} "${node.name}" lacks its input ${i}.`);
      return v;
    },
    constant: (i) => (node.inputs[i] ? constant(node.inputs[i]) : undefined),
  };
  return operatorOf(node).infer(context);
};

/** A builder that knows every operator's shape rule. */
export function createBuilder(): GraphBuilder {
  return new GraphBuilder(inferNode);
}
