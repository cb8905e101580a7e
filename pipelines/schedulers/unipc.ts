import type { SchedulerConfig } from './config.ts';
import { type Place, solverGrid } from './dpm-solver-multistep.ts';
import { combine, type Linear, linearStep, sampleAt } from './linear.ts';
import type { GaussianStep } from './types.ts';

/**
 * UniPC, predictor and corrector, predicting x₀: Zhao et al. 2023 (arXiv:2302.04867), algorithms 5 and 6, orders 1 to 3,
 * B(h) = h (`bh1`) or e^h − 1 (`bh2`). The corrector needs the evaluation at the predicted sample, so it comes one step later
 * and costs nothing.
 */
export function uniPcSteps(config: SchedulerConfig, steps: number, skip = 0): GaussianStep[] {
  const { timesteps, places, cleans } = solverGrid(config, steps, skip);
  const bh1 = config.solver_type === 'bh1';
  const orders = timesteps.map((_, i) =>
    Math.min(config.solver_order, i + 1, config.lower_order_final ? timesteps.length - i : steps),
  );
  /** From evaluation `i` to the next place without its sample's share: −α·(φ₁·m + B·Σ ρ·D). */
  const drift = (i: number, rhos: readonly number[], slopes: readonly Linear[]): Linear => {
    const { phi1, b } = phis(places[i]!, places[i + 1]!, bh1);
    const alpha = places[i + 1]!.alpha;
    return combine(
      [-alpha * phi1, cleans[i]!],
      ...slopes.map((slope, k) => [-alpha * b * (rhos[k] ?? 0), slope] as [number, Linear]),
    );
  };
  const shareOf = (i: number) => places[i + 1]!.sigma / places[i]!.sigma;
  const slopesOf = (i: number, order: number): { ratios: number[]; slopes: Linear[] } => {
    const h = places[i + 1]!.lambda - places[i]!.lambda;
    const ratios = Array.from({ length: order - 1 }, (_, k) => (places[i - k - 1]!.lambda - places[i]!.lambda) / h);
    return {
      ratios,
      slopes: ratios.map((r, k) => combine([1 / r, cleans[i - k - 1]!], [-1 / r, cleans[i]!])),
    };
  };
  const predicted = (i: number): Linear => {
    const order = orders[i]!;
    const { ratios, slopes } = slopesOf(i, order);
    if (order === 1) return drift(i, [], []);
    const rhos = order === 2 ? [0.5] : solve(places[i]!, places[i + 1]!, [...ratios, 1], bh1, order - 1);
    return drift(i, rhos, slopes);
  };

  return timesteps.map((timestep, i) => {
    // The corrected sample. What was predicted is x_i = share·corrected_{i−1} + drift, which gives corrected_{i−1} back.
    let current = sampleAt(i);
    if (i > 0 && !config.disable_corrector.includes(skip + i - 1)) {
      const order = orders[i - 1]!;
      const { ratios, slopes } = slopesOf(i - 1, order);
      const rhos = order === 1 ? [0.5] : solve(places[i - 1]!, places[i]!, [...ratios, 1], bh1, order);
      const atHere = combine([1, cleans[i]!], [-1, cleans[i - 1]!]);
      current = combine([1, sampleAt(i)], [-1, predicted(i - 1)], [1, drift(i - 1, rhos, [...slopes, atHere])]);
    }
    const next = combine([shareOf(i), current], [1, predicted(i)]);
    const at = places[i]!;
    return linearStep(i, next, cleans[i]!, { timestep, inputScale: 1, std: 0, signal: at.alpha, noise: at.sigma });
  });
}

/** φ₁ = e^{−h} − 1 and B(−h). */
function phis(at: Place, to: Place, bh1: boolean): { phi1: number; b: number } {
  const hh = at.lambda - to.lambda;
  const phi1 = Math.expm1(hh);
  return { phi1, b: bh1 ? hh : phi1 };
}

/** ρ of R·ρ = b with R[k][j] = r_j^k, b[k] = k!·φ_{k+1}/B: the first `count` equations. */
function solve(at: Place, to: Place, ratios: readonly number[], bh1: boolean, count: number): number[] {
  const hh = at.lambda - to.lambda;
  const { phi1, b } = phis(at, to, bh1);
  const right: number[] = [];
  let phi = phi1 / hh - 1;
  let factorial = 1;
  for (let k = 1; k <= count; k++) {
    right.push((phi * factorial) / b);
    factorial *= k + 1;
    phi = phi / hh - 1 / factorial;
  }
  const rows = right.map((v, k) => [...ratios.slice(0, count).map((r) => r ** k), v]);
  return gauss(rows);
}

/** Solution of a small dense system given as rows `[a_1 … a_n, b]`. */
function gauss(rows: number[][]): number[] {
  const n = rows.length;
  for (let c = 0; c < n; c++) {
    let pivot = c;
    for (let r = c + 1; r < n; r++) if (Math.abs(rows[r]![c]!) > Math.abs(rows[pivot]![c]!)) pivot = r;
    [rows[c], rows[pivot]] = [rows[pivot]!, rows[c]!];
    for (let r = 0; r < n; r++) {
      if (r === c) continue;
      const f = rows[r]![c]! / rows[c]![c]!;
      for (let k = c; k <= n; k++) rows[r]![k]! -= f * rows[c]![k]!;
    }
  }
  return rows.map((row, i) => row[n]! / row[i]!);
}
