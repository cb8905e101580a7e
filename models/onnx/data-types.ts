import type { DType } from '#models/tensor/tensor.ts';

/** `TensorProto.DataType` numbers of the element types we can hold. */
export const DATA_TYPE: Readonly<Record<DType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  string: 8,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
  bfloat16: 16,
  float8e4m3fn: 17,
  float8e4m3fnuz: 18,
  float8e5m2: 19,
  float8e5m2fnuz: 20,
  uint4: 21,
  int4: 22,
  float4e2m1: 23,
  float8e8m0: 24,
  uint2: 25,
  int2: 26,
};

const BY_NUMBER = new Map(Object.entries(DATA_TYPE).map(([dtype, n]) => [n, dtype as DType]));

/** The element type of a `TensorProto.DataType` number; undefined for complex types and rubbish. */
export function dtypeOf(dataType: number): DType | undefined {
  return BY_NUMBER.get(dataType);
}

/** `AttributeProto.AttributeType` numbers. */
export const ATTRIBUTE_TYPE = {
  float: 1,
  int: 2,
  string: 3,
  tensor: 4,
  graph: 5,
  floats: 6,
  ints: 7,
  strings: 8,
} as const;
