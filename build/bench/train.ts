import { availableParallelism } from 'node:os';
import { type BenchResult, type Peak, type Ratio, sideBySide } from './lib/measure.ts';
import { startPytorch } from './lib/pytorch-process.ts';
import { LORA_RANK, type StepSpec, startStep } from './lib/step-process.ts';

interface Case {
  readonly name: string;
  readonly network: StepSpec['network'];
  readonly batch: number;
  readonly kind: 'lora' | 'full';
  readonly segments?: number;
  /** Steps in forward passes of the plain exported network. */
  readonly target: number;
  readonly peakMb?: number;
  /** Our step ÷ PyTorch's. */
  readonly pytorch?: number;
}

const CASES: readonly Case[] = [
  { name: 'flora, batch 16', network: 'flora', batch: 16, kind: 'lora', target: 3 },
  { name: 'flora, batch 16', network: 'flora', batch: 16, kind: 'full', target: 4 },
  {
    name: 'cross-attention UNet, 17 M parameters, batch 4',
    network: 'attention-unet',
    batch: 4,
    kind: 'lora',
    target: 2.4,
    pytorch: 0.25,
  },
  {
    name: 'cross-attention UNet, 17 M parameters, batch 4, eight segments',
    network: 'attention-unet',
    batch: 4,
    kind: 'lora',
    segments: 8,
    target: 2.4,
    peakMb: 700,
  },
  {
    name: 'cross-attention UNet, 17 M parameters, batch 4',
    network: 'attention-unet',
    batch: 4,
    kind: 'full',
    target: 3.4,
    pytorch: 0.35,
  },
];

const PYTORCH_ROUNDS = 2;

/**
 * The cost of one training step (loss and gradients, no update): in forward passes of the same batch through the network as
 * exported, with the runtime's default options; in megabytes; and against PyTorch where it is installed. Each side is a
 * process of its own, and the two run in turn.
 */
export async function measure(
  options: { threads?: number; rounds?: number; only?: RegExp } = {},
): Promise<BenchResult> {
  const threads = options.threads ?? Math.max(1, availableParallelism());
  const rounds = options.rounds ?? 9;
  const ratios: Ratio[] = [];
  const peaks: Peak[] = [];
  for (const { network, batch, kind, segments, ...each } of CASES) {
    const what = kind === 'lora' ? `LoRA rank ${LORA_RANK} step` : 'full step';
    const name = `${each.name}: ${what} ÷ forward`;
    if (options.only && !options.only.test(name)) continue;
    const step = await startStep({ network, batch, kind, threads, ...(segments ? { segments } : {}) });
    const forward = await startStep({ network, batch, kind: 'forward', threads });
    ratios.push(await sideBySide({ name, target: each.target, a: step.run, b: forward.run }, rounds));
    forward.end();
    const pytorch = each.pytorch === undefined ? null : await startPytorch(batch, threads, LORA_RANK);
    if (pytorch) {
      const b = async () => ({ wallMs: await pytorch.run(kind), cpuMs: Number.NaN });
      const title = `${each.name}: ${what} ÷ PyTorch's`;
      ratios.push(await sideBySide({ name: title, target: each.pytorch!, a: step.run, b }, PYTORCH_ROUNDS, 1));
      pytorch.end();
    }
    const peak = await step.peakMb();
    if (peak !== null)
      peaks.push({
        name: `${each.name}: ${what}`,
        mb: Math.round(peak),
        ...(each.peakMb ? { target: each.peakMb } : {}),
      });
    step.end();
  }
  return { ratios, peaks, rounds, threads };
}
