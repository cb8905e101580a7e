import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { encodeModel } from '#models/onnx/write.ts';
import { COMPUTE_ENVIRONMENT } from '#models/runtime/training-options.ts';
import { sd1Files, TINY_TOKENS, writeFolder } from '#test/models/families/tiny-folders.ts';
import type { LargeAnswer, LargeRequest } from './lib/large-process.ts';
import type { BenchResult } from './lib/measure.ts';
import { buildSdUnet, SD15, type UnetPlan, writeWeights } from './lib/sd15-unet.ts';

const PROCESS = fileURLToPath(new URL('./lib/large-process.ts', import.meta.url));
const STEPS = 2;
const TARGET_MB = 300;

export interface LargeOptions {
  readonly threads?: number;
  /** Channels of the network; default: those of Stable Diffusion 1.5, 3.4 GB of random weights. */
  readonly channels?: UnetPlan['channels'];
  /** Height and width of the latents. */
  readonly size?: number;
}

/**
 * What JavaScript holds while a model of 3.4 GB is looked into, hashed, opened and sampled, in a process that is looked at every
 * 50 ms: weights are the runtime's business and shall not pass through it. Text encoder and autoencoder are tiny.
 */
export async function measure(options: LargeOptions = {}): Promise<BenchResult & LargeAnswer> {
  const threads = options.threads ?? Math.max(1, availableParallelism());
  const root = mkdtempSync(join(tmpdir(), 'northlight-large-'));
  try {
    const channels = options.channels ?? SD15.channels;
    const width = SD15.context[1];
    const plan = { ...SD15, channels, context: [TINY_TOKENS, width], size: options.size ?? 64 } as const;
    const unet = buildSdUnet(plan, 'model.onnx_data');
    const folder = writeFolder(join(root, 'model'), {
      ...sd1Files({ width }),
      'unet/config.json': { block_out_channels: channels, in_channels: 4, cross_attention_dim: width },
    });
    writeFileSync(join(folder, 'unet', 'model.onnx'), encodeModel(unet.model));
    writeWeights(unet, join(folder, 'unet', 'model.onnx_data'));
    const request: LargeRequest = { folder, cacheFolder: join(root, 'remembered'), steps: STEPS, threads };
    const { stdout } = await promisify(execFile)(process.execPath, [PROCESS, JSON.stringify(request)], {
      env: { ...process.env, ...COMPUTE_ENVIRONMENT, XDG_DATA_HOME: root, LOCALAPPDATA: root, HOME: root },
    });
    const answer = JSON.parse(stdout) as LargeAnswer;
    const name = `JavaScript's own memory with ${(unet.sizeBytes / 1e9).toFixed(1)} GB of weights`;
    return {
      ...answer,
      ratios: [],
      peaks: [{ name, mb: Math.round(answer.peakBytes / 2 ** 20), target: TARGET_MB }],
      rounds: 1,
      threads,
    };
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
