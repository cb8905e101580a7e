import { z } from 'zod';

const port = z.object({
  name: z.string(),
  dtype: z.string(),
  dims: z.array(z.union([z.number(), z.string(), z.null()])).readonly(),
});

/** What `models/families/doctor.ts` says of a folder. */
export const doctorReport = z.object({
  path: z.string(),
  name: z.string(),
  family: z.string(),
  /** The family as people call it. */
  title: z.string(),
  kind: z.enum(['image', 'sequence', 'unknown']),
  /** The whole answer in a sentence. */
  status: z.string(),
  usable: z.boolean(),
  findings: z
    .array(z.object({ weight: z.enum(['stops', 'note']), code: z.string(), message: z.string(), hint: z.string() }))
    .readonly(),
  exporter: z.string(),
  exporterBecause: z.string(),
  precision: z.string(),
  sizes: z.string(),
  predictionType: z.string(),
  width: z.number(),
  height: z.number(),
  sampling: z
    .object({
      steps: z.number(),
      guidanceScale: z.number(),
      guidance: z.enum(['classifier-free', 'distilled', 'embedded', 'none']),
      freeSize: z.boolean(),
      sizeMultiple: z.number(),
      startsFromPictures: z.boolean(),
      clipSkips: z.number(),
      schedulerConfig: z.record(z.string(), z.unknown()).readonly(),
    })
    .nullable(),
  sequence: z
    .object({
      kind: z.enum(['masked', 'one-hot']),
      alphabet: z.string(),
      molecule: z.enum(['dna', 'rna', 'protein', 'other']),
      shortest: z.number(),
      longest: z.number(),
      classes: z.array(z.string()).readonly(),
      needsClass: z.boolean(),
      guided: z.boolean(),
      schedulerConfig: z.record(z.string(), z.unknown()).readonly(),
    })
    .nullable(),
  parameters: z.number(),
  sizeBytes: z.number(),
  components: z
    .array(
      z.object({
        role: z.string(),
        file: z.string(),
        inputs: z.array(port).readonly(),
        outputs: z.array(port).readonly(),
        precision: z.string(),
        sizes: z.string(),
        opset: z.number(),
        parameters: z.number(),
        sizeBytes: z.number(),
      }),
    )
    .readonly(),
  tokenizers: z.array(z.string()).readonly(),
  providers: z
    .array(
      z.object({
        provider: z.string(),
        device: z.string(),
        faulty: z.array(z.string()).readonly(),
        leftToCpu: z.array(z.string()).readonly(),
        untried: z.array(z.string()).readonly(),
      }),
    )
    .readonly(),
  description: z.string(),
  examplePrompts: z.array(z.string()).readonly(),
});
export type ModelDoctorReport = z.infer<typeof doctorReport>;
