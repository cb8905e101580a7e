import { expect, test } from 'vitest';
import { z } from 'zod';
import { field } from '#pipelines/engine/contract.ts';
import { fieldsOf } from '#pipelines/engine/fields.ts';

test('every kind of setting becomes a field with its range, default, choices and help', () => {
  const schema = z.object({
    steps: z.int().min(1).max(500).default(100).describe('Updates.'),
    learningRate: z.number().positive().default(1e-4).describe('AdamW learning rate.'),
    rank: z.number().int().min(1).describe('No default.'),
    clip: z.number().min(0).nullable().default(null).describe('Largest gradient norm; null for none.'),
    ema: z.boolean().default(false),
    kind: z.enum(['sigmoid', 'hinge']).default('hinge').describe('Loss.'),
    note: z.string().optional().describe('Free text.'),
  });
  const fields = fieldsOf(schema);
  expect(z.array(field).parse(fields)).toEqual(fields);
  const row = fields.map((f) => [f.key, f.type, f.default, f.minimum, f.maximum, f.choices.join(), f.description]);
  expect(row).toEqual([
    ['steps', 'integer', 100, 1, 500, '', 'Updates.'],
    ['learningRate', 'number', 1e-4, 0, null, '', 'AdamW learning rate.'],
    ['rank', 'integer', null, 1, null, '', 'No default.'],
    ['clip', 'number', null, 0, null, '', 'Largest gradient norm; null for none.'],
    ['ema', 'boolean', false, null, null, '', ''],
    ['kind', 'choice', 'hinge', null, null, 'sigmoid,hinge', 'Loss.'],
    ['note', 'string', null, null, null, '', 'Free text.'],
  ]);
});

test('a setting no form can show is refused by name', () => {
  expect(() => fieldsOf(z.object({ layers: z.array(z.string()) }))).toThrow(
    expect.objectContaining({ code: 'field/unsupported', message: expect.stringContaining('"layers"') }),
  );
});
