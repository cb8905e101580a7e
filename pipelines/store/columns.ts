import { z } from 'zod';

/** SQLite's 0 and 1 as a boolean. */
export const flag = z.union([z.literal(0), z.literal(1)]).transform((value) => value === 1);

/** A text column that holds JSON, parsed and then checked. */
export function json<T extends z.ZodType>(schema: T) {
  return z
    .string()
    .transform((text, context): unknown => {
      try {
        return JSON.parse(text);
      } catch {
        context.addIssue({ code: 'custom', message: 'is not JSON' });
        return z.NEVER;
      }
    })
    .pipe(schema);
}

export const count = z.object({ n: z.number().int() });
