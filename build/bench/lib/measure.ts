/** A ratio of two measured times, with its spread over rounds. */
export interface Ratio {
  readonly name: string;
  /** Median over rounds of a ÷ b in wall time; the two run one after the other in every round. */
  readonly ratio: number;
  /** Quartiles of the same. */
  readonly low: number;
  readonly high: number;
  /** Median over rounds of the ratio in processor time of all threads: less disturbed by other programs. */
  readonly cpuRatio: number;
  /** Medians, in milliseconds. */
  readonly aMs: number;
  readonly bMs: number;
  /** What we want the ratio to be at most. */
  readonly target: number;
}

/** The most memory a process had, in MB of 2^20 bytes. */
export interface Peak {
  readonly name: string;
  readonly mb: number;
  readonly target?: number;
}

/** What every file in build/bench gives from its `measure`. */
export interface BenchResult {
  readonly ratios: readonly Ratio[];
  readonly peaks?: readonly Peak[];
  readonly rounds: number;
  readonly threads: number;
}

export interface Cost {
  readonly wallMs: number;
  readonly cpuMs: number;
}

/** What a body took, or what it says itself where it ran in another process. */
async function cost(body: () => Promise<unknown>): Promise<Cost> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  const told = await body();
  if (typeof told === 'object' && told !== null && 'wallMs' in told && 'cpuMs' in told) return told as Cost;
  const wallMs = performance.now() - start;
  const used = process.cpuUsage(cpu);
  return { wallMs, cpuMs: (used.user + used.system) / 1000 };
}

/** Linear interpolation between order statistics; `q` in 0 … 1. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const i = Math.floor(at);
  return sorted[i]! + (at - i) * ((sorted[i + 1] ?? sorted[i]!) - sorted[i]!);
}

export interface Contest {
  readonly name: string;
  readonly target: number;
  readonly a: () => Promise<unknown>;
  readonly b: () => Promise<unknown>;
}

/** Runs `a` and `b` in turn, after `warmup` unmeasured rounds: a disturbance of the machine falls on both. */
export async function sideBySide({ name, target, a, b }: Contest, rounds: number, warmup = 2): Promise<Ratio> {
  const costs: { a: Cost; b: Cost }[] = [];
  for (let i = -warmup; i < rounds; i++) {
    const pair = { a: await cost(a), b: await cost(b) };
    if (i >= 0) costs.push(pair);
  }
  const ratios = costs.map((c) => c.a.wallMs / c.b.wallMs);
  const round = (v: number) => Math.round(v * 1000) / 1000;
  return {
    name,
    target,
    ratio: round(quantile(ratios, 0.5)),
    low: round(quantile(ratios, 0.25)),
    high: round(quantile(ratios, 0.75)),
    cpuRatio: round(
      quantile(
        costs.map((c) => c.a.cpuMs / c.b.cpuMs),
        0.5,
      ),
    ),
    aMs: round(
      quantile(
        costs.map((c) => c.a.wallMs),
        0.5,
      ),
    ),
    bMs: round(
      quantile(
        costs.map((c) => c.b.wallMs),
        0.5,
      ),
    ),
  };
}
