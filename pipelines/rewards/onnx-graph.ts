import { importGraph } from '#models/autodiff/import-graph.ts';
import { NorthlightError } from '#models/errors.ts';
import type { GraphBuilder, Value } from '#models/onnx/builder.ts';
import { inOneFile } from '#models/onnx/external.ts';
import type { Model } from '#models/onnx/ir.ts';
import { readModel } from '#models/onnx/read.ts';
import { createBuilder } from '#models/ops/index.ts';
import type { RewardManifest } from './manifest.ts';
import type { SequencePlan } from './onnx-sequence.ts';
import type { ScoreAt } from './onnx-spec.ts';
import { lumaGraph, pictureGraph, resizedGraph } from './picture-graph.ts';
import type { PictureShape, SequenceShape } from './types.ts';

/** How the graph of a file wants its pictures: null is a free size. */
export interface PicturePlan {
  readonly name: string;
  readonly batch: number | null;
  readonly channels: 1 | 3;
  readonly size: readonly [height: number, width: number] | null;
}

/** A scorer on disk: what `reward.json` says of it, and which of its numbers is the score. */
export interface Scorer extends ScoreAt {
  readonly path: string;
  readonly manifest: RewardManifest;
}

/**
 * An ONNX scorer of pictures with everything that is done to a picture before it: size, grey, range, mean, std and layout.
 * Computed in float32 whatever it is stored in. @throws {NorthlightError} what cannot be derived, by name.
 */
export function scorerOfPicture(scorer: Scorer, plan: PicturePlan, item: PictureShape): Model {
  const { manifest } = scorer;
  const [low, high] = manifest.range;
  const channels = (of: (c: number) => number) => Array.from({ length: plan.channels }, (_, c) => of(c));
  const mean = channels((c) => manifest.mean[c] ?? manifest.mean[0]!);
  const std = channels((c) => manifest.std[c] ?? manifest.std[0]!);
  const perChannel = [1, plan.channels, 1, 1];
  return pictureGraph(
    item,
    (op, rgb) => {
      const sized = plan.size === null ? rgb : resizedGraph(op, rgb, plan.size);
      const planes = plan.channels === 1 ? lumaGraph(op, sized) : sized;
      const scale = op.f32(
        perChannel,
        std.map((s) => (high - low) / s),
      );
      const shift = op.f32(
        perChannel,
        mean.map((m, c) => (low - m) / std[c]!),
      );
      const ready = op.add2(op.mul(planes, scale), shift);
      const laid = manifest.layout === 'NCHW' ? ready : op.transpose(ready, [0, 2, 3, 1]);
      return scored(op, scorer, plan, laid);
    },
    manifest.higherIsBetter,
  );
}

/**
 * An ONNX scorer of one-hot sequences, given probabilities of letters in place of letters.
 * @throws {NorthlightError} `decode/not-differentiable` for one that takes token ids, `reward/length`, `reward/letter`.
 */
export function scorerOfSequence(scorer: Scorer, plan: SequencePlan, { length, alphabet }: SequenceShape): Model {
  const { path, manifest } = scorer;
  if (plan.layout === 'L') {
    throw new NorthlightError(
      'decode/not-differentiable',
      `The reward model ${path} takes token ids, which have no gradient.`,
      'Decode by svdd-pm, or export it with a one-hot input [batch, length, letters].',
    );
  }
  if (plan.length !== null && plan.length !== length) {
    throw new NorthlightError(
      'reward/length',
      `The model makes ${length} letters, and the reward model ${path} takes ${plan.length}.`,
      'Make sequences of that length.',
    );
  }
  const op = createBuilder();
  const item = op.input('item', 'float32', [1, length, alphabet.length]);
  const own = op.matmul(item, op.f32([alphabet.length, plan.alphabet.length], lettersOf(alphabet, plan, path)));
  const laid = plan.layout === 'LA' ? own : op.transpose(own, [0, 2, 1]);
  const value = op.reshape(scored(op, scorer, plan, laid), []);
  op.output(manifest.higherIsBetter ? value : op.neg(value), 'score');
  return op.toModel('reward');
}

/** Which letter of the scorer each letter of the model is, `[A, A']`; U and T are read as whichever it has. */
function lettersOf(alphabet: string, plan: SequencePlan, path: string): Float32Array {
  const matrix = new Float32Array(alphabet.length * plan.alphabet.length);
  const other: Readonly<Record<string, string>> = { U: 'T', T: 'U' };
  for (const [a, letter] of [...alphabet].entries()) {
    const id = plan.alphabet.indexOf(letter);
    const found = id >= 0 ? id : plan.alphabet.indexOf(other[letter] ?? letter);
    if (found < 0) {
      throw new NorthlightError(
        'reward/letter',
        `The model writes "${letter}", which the reward model ${path} does not know.`,
        `Its alphabet is ${plan.alphabet}; another one can be given as "alphabet" in reward.json.`,
      );
    }
    matrix[a * plan.alphabet.length + found] = 1;
  }
  return matrix;
}

/** The score of one item; an export of a fixed batch is given copies of it. */
function scored(op: GraphBuilder, scorer: Scorer, plan: { name: string; batch: number | null }, item: Value): Value {
  const rows = plan.batch ?? 1;
  const { outputs } = importGraph(op, inOneFile(readModel(scorer.path)), {
    inputs: { [plan.name]: op.expand(item, [rows, ...item.dims.slice(1)]) },
    prefix: 'scorer/',
  });
  const result = outputs.get(scorer.output)!;
  const columns = result.dims.reduce((n, d) => n * d, 1) / rows;
  if (!Number.isInteger(columns) || (scorer.column ?? 0) >= columns) {
    throw new NorthlightError(
      'reward/output',
      `The reward model ${scorer.path} gives [${result.dims.join(', ')}] for ${rows} items${scorer.column === undefined ? '' : `, and column ${scorer.column} was asked for`}.`,
      'It must give [batch] or [batch, 1]; of several columns, say which is the score: onnx:PATH,column=NUMBER.',
    );
  }
  const row = op.slice(op.reshape(result, [rows, columns]), 0, 0, 1);
  const column = scorer.column ?? 0;
  return op.slice(row, 1, column, column + 1);
}
