import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { z } from 'zod';
import { type DType, fromBytes, type Tensor } from '#models/tensor/tensor.ts';

const FOLDER = join(import.meta.dirname, '..', 'golden', 'onnx-cases');

const Span = z.tuple([z.int().nonnegative(), z.int().nonnegative()]);
const Stored: z.ZodType<StoredValue> = z.lazy(() =>
  z.union([
    z.null(),
    z.object({ dtype: z.string(), dims: z.array(z.int()), at: Span }),
    z.object({ dtype: z.literal('string'), dims: z.array(z.int()), strings: z.array(z.string()) }),
    z.object({ sequence: z.array(Stored) }),
  ]),
);
const Index = z.object({
  onnx: z.string(),
  numpy: z.string(),
  skipped: z.array(z.tuple([z.string(), z.int()])),
  cases: z.array(
    z.object({ name: z.string(), kind: z.string(), model: Span, inputs: z.array(Stored), outputs: z.array(Stored) }),
  ),
});

type StoredValue =
  | null
  | { dtype: string; dims: number[]; at: [number, number] }
  | { dtype: 'string'; dims: number[]; strings: string[] }
  | { sequence: StoredValue[] };

/** A tensor, a list of them, or null where the value is of a type that is not stored. */
export type CaseValue = Tensor | { readonly sequence: readonly CaseValue[] } | null;

/** One test case of the ONNX standard: a model, what it is fed, and what it must give. */
export interface OnnxCase {
  readonly name: string;
  /** The version of the package that it comes from. */
  readonly source: string;
  readonly bytes: Uint8Array;
  readonly inputs: readonly CaseValue[];
  readonly outputs: readonly CaseValue[];
}

export interface OnnxCases {
  readonly cases: readonly OnnxCase[];
  /** Names of cases that were left out of the archives because of their size. */
  readonly skipped: readonly string[];
}

/** Every case of every archive under `test/golden/onnx-cases` (written by `build/fixtures/onnx_cases.py`). */
export function onnxCases(): OnnxCases {
  const cases: OnnxCase[] = [];
  const skipped: string[] = [];
  for (const file of readdirSync(FOLDER)
    .filter((f) => f.endsWith('.bin.gz'))
    .sort()) {
    const raw = gunzipSync(readFileSync(join(FOLDER, file)));
    const headBytes = raw.readUInt32LE(0);
    const index = Index.parse(JSON.parse(raw.subarray(4, 4 + headBytes).toString('utf8')));
    const piece = ([offset, length]: [number, number]) =>
      Uint8Array.from(raw.subarray(4 + headBytes + offset, 4 + headBytes + offset + length));
    const value = (v: StoredValue): CaseValue => {
      if (v === null) return null;
      if ('sequence' in v) return { sequence: v.sequence.map(value) };
      if ('strings' in v) return { dtype: 'string', dims: v.dims, data: v.strings };
      return fromBytes(v.dtype as DType, v.dims, piece(v.at));
    };
    skipped.push(...index.skipped.map(([name]) => name));
    for (const c of index.cases) {
      const { name } = c;
      cases.push({
        name,
        source: index.onnx,
        bytes: piece(c.model),
        inputs: c.inputs.map(value),
        outputs: c.outputs.map(value),
      });
    }
  }
  return { cases, skipped };
}
