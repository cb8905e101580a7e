import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** Debian's own Python, which has PyTorch as a system package; NORTHLIGHT_PYTHON names another. */
const PYTHON = process.env.NORTHLIGHT_PYTHON ?? '/usr/bin/python3';
const SCRIPT = join(import.meta.dirname, '..', 'pytorch_train.py');

/** PyTorch running the cross-attention UNet; each call gives the wall time of one pass or step in milliseconds. */
export interface PytorchProcess {
  run(what: 'forward' | 'lora' | 'full'): Promise<number>;
  end(): void;
}

/** Null where no PyTorch is installed. */
export async function startPytorch(batch: number, threads: number, rank: number): Promise<PytorchProcess | null> {
  if (!existsSync(PYTHON) || spawnSync(PYTHON, ['-c', 'import torch']).status !== 0) return null;
  const child = spawn(PYTHON, [SCRIPT, ...[batch, threads, rank].map(String)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<number> => {
    const line = await lines.next();
    if (line.done) throw new Error('PyTorch ended early.');
    return Number(line.value);
  };
  await next(); // the number of parameters
  return {
    run: (what) => {
      child.stdin.write(`${what}\n`);
      return next();
    },
    end: () => child.stdin.end(),
  };
}
