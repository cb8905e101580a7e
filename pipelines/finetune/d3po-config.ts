import { z } from 'zod';

/** Settings of D3PO, as the command line and the window show them. */
export const d3poSchema = z.object({
  steps: z.int().min(1).max(1_000_000).default(60).describe('Updates of the adapter.'),
  itemsPerUpdate: z
    .int()
    .min(1)
    .max(256)
    .default(16)
    .describe('Items per update; an item is one denoising step of one compared pair.'),
  learningRate: z
    .number()
    .positive()
    .max(1)
    .default(3e-4)
    .describe('Peak rate of AdamW, after a short warm-up. Paper: 3e-5 with 400 epochs.'),
  beta: z
    .number()
    .positive()
    .default(1000)
    .describe(
      'How firmly the model stays at the reference: logits are beta × the mean log-ratio per dimension, so D/2 to D is one nat per step; small values never saturate. Paper: 0.1, together with a ratio clip of 0.1.',
    ),
  stepWeights: z
    .enum(['output', 'uniform'])
    .default('output')
    .describe(
      'How steps count: output = each step pulls equally at the network’s output; uniform = as in the paper, where nearly noiseless steps dominate.',
    ),
  ratioClip: z
    .number()
    .positive()
    .max(0.99)
    .nullable()
    .default(null)
    .describe(
      'Clamp of each ratio to 1 ± this value, as in the released code (0.1). Off by default: a clamped ratio gives no gradient.',
    ),
  rank: z.int().min(1).max(256).default(8).describe('Rank of the adapter. Paper: 4.'),
  alpha: z
    .number()
    .positive()
    .nullable()
    .default(null)
    .describe('Scale of the adapter is alpha / rank; empty: alpha = rank.'),
  targets: z
    .enum(['attention', 'linear', 'all'])
    .default('all')
    .describe('Layers that get an adapter: attention projections, all linear layers, or convolutions too.'),
  weightDecay: z.number().min(0).default(1e-4).describe('Decoupled weight decay. Paper: 1e-4.'),
  maxGradientNorm: z.number().positive().default(1).describe('Gradients are scaled down to this norm.'),
  stripEvery: z.int().min(1).default(25).describe('Updates between rows of fixed-seed sample pictures.'),
  checkpointEvery: z.int().min(1).default(10).describe('Updates between checkpoints.'),
  memoryBudget: z
    .number()
    .positive()
    .nullable()
    .default(null)
    .describe('Most memory a run may take, in GB. Empty: nine tenths of what is free when it starts.'),
  compute: z
    .enum(['float32', 'stored'])
    .default('float32')
    .describe(
      'What a 16-bit model is computed in: float32, or as it is stored, with a loss scale, for devices with 16-bit arithmetic.',
    ),
  seed: z.int().min(0).default(0).describe('Order of the items and start of the adapter.'),
});
export type D3poConfig = z.output<typeof d3poSchema>;
