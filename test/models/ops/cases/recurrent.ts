import { str } from '#models/onnx/ir.ts';
import type { GradientCase } from '#test/support/check-gradient.ts';

const GATES: Readonly<Record<string, number>> = { RNN: 1, GRU: 3, LSTM: 4 };
const [STEPS, BATCH, SIZE, HIDDEN] = [3, 2, 4, 3];

interface Form {
  readonly direction?: string;
  readonly bias?: boolean;
  readonly start?: boolean;
  readonly attributes?: Record<string, number>;
}

/** Float32: the runtime has no other kernel. */
const layer = (opType: string, { direction = 'forward', bias, start, attributes }: Form = {}): GradientCase => {
  const directions = direction === 'bidirectional' ? 2 : 1;
  const wide = GATES[opType]! * HIDDEN;
  const first = [directions, BATCH, HIDDEN];
  const outputs = opType === 'LSTM' ? 3 : 2;
  return {
    title: `${opType} ${direction}${bias ? ', bias' : ''}${start ? ', given start' : ''}${
      attributes ? ` ${JSON.stringify(attributes)}` : ''
    }`,
    inputs: {
      x: [STEPS, BATCH, SIZE],
      w: [directions, wide, SIZE],
      r: [directions, wide, HIDDEN],
      ...(bias ? { b: [directions, 2 * wide] } : {}),
      ...(start ? { h: first, ...(opType === 'LSTM' ? { c: first } : {}) } : {}),
    },
    float32: true,
    build: (op, x, w, r, ...more) => {
      const b = bias ? more.shift()! : null;
      const list = [x!, w!, r!, b, null, ...more];
      return op.applyMany(
        opType,
        list.slice(0, list.findLastIndex((v) => v !== null) + 1),
        { hidden_size: HIDDEN, direction: str(direction), ...attributes },
        outputs,
      );
    },
  };
};

export const recurrentCases: readonly GradientCase[] = [
  ...['RNN', 'GRU', 'LSTM'].flatMap((opType) => [
    layer(opType),
    layer(opType, { direction: 'reverse', bias: true }),
    layer(opType, { direction: 'bidirectional', bias: true, start: true }),
  ]),
  layer('GRU', { bias: true, attributes: { linear_before_reset: 1 } }),
];
