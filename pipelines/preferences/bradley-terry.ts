import { NorthlightError } from '#models/errors.ts';
import { type Comparison, slotsOf } from './comparisons.ts';
import { solveBordered } from './newton.ts';

export interface BradleyTerryOptions {
  /** Items to place even if no comparison names them. */
  readonly items?: readonly string[];
  /** Prior sd of a utility, in logits. Default 1.5. */
  readonly priorSd?: number;
  /** Prior sd of the side bias; 0 holds the bias at 0. Default 0.5. */
  readonly biasSd?: number;
  /** Holds the tie threshold at this value. Default: 0 when no tie was given, otherwise estimated. */
  readonly tieThreshold?: number;
}

export interface ItemFit {
  /** Log-odds scale; the mean over all items is 0. */
  readonly utility: number;
  /** Posterior standard deviation (Laplace). */
  readonly sd: number;
  /** Comparisons that say something about it: skips and both-bads are not counted. */
  readonly comparisons: number;
  /** Items with the same number are linked by comparisons; utilities of different groups are related by the prior alone. */
  readonly group: number;
}

export interface BradleyTerryFit {
  /** In order of id. */
  readonly items: ReadonlyMap<string, ItemFit>;
  /** Every item can be reached from every other through comparisons. */
  readonly connected: boolean;
  /** Log-odds by which the left side is favoured. */
  readonly bias: number;
  readonly biasSd: number;
  /** δ of the tie model; 0 without ties. */
  readonly tieThreshold: number;
  /** Log of the posterior density, without the Gaussian constants. */
  readonly logPosterior: number;
  /** Posterior mean and sd of utility(a) − utility(b). */
  difference(a: string, b: string): { mean: number; sd: number };
}

/**
 * Maximum a posteriori utilities from comparisons, with a Laplace posterior. Deterministic.
 *
 * Pairs: Bradley–Terry with side bias b and Rao–Kupper ties (Rao and Kupper 1967): with Δ = u_left − u_right,
 * P(left) = σ(Δ + b − δ), P(right) = σ(−Δ − b − δ), the rest is a tie. Best of n and rankings: Plackett–Luce. Priors:
 * u ~ N(0, priorSd²), b ~ N(0, biasSd²), ln δ ~ N(ln 0.3, 0.7²). The log posterior is concave in (u, b): Newton's method with
 * halving; δ by a 40-point profile, three times in turn. `skip` and `both-bad` say nothing here.
 * @throws {NorthlightError} `preferences/options`, `preferences/fit`.
 */
export function fitBradleyTerry(
  comparisons: readonly Comparison[],
  options: BradleyTerryOptions = {},
): BradleyTerryFit {
  const priorSd = options.priorSd ?? 1.5;
  const biasSd = options.biasSd ?? 0.5;
  if (!(priorSd > 0) || !(biasSd >= 0) || (options.tieThreshold ?? 0) < 0) {
    throw new NorthlightError(
      'preferences/options',
      'The prior sd must be above 0, and the bias sd and the tie threshold 0 or more.',
      'Correct these settings of the fit.',
    );
  }
  const informative = comparisons.filter(isInformative);
  const ids = [...new Set([...(options.items ?? []), ...comparisons.flatMap((c) => c.items)])].sort();
  const indexOf = new Map(ids.map((id, i) => [id, i]));
  const terms = informative.flatMap((c) => termsOf(c, (id) => indexOf.get(id)!));
  const groups = groupsOf(
    ids.length,
    informative.map((c) => c.items.map((id) => indexOf.get(id)!)),
  );

  const hasTies = terms.some((t) => t.kind === 'pair' && t.outcome === 'tie');
  if (hasTies && options.tieThreshold === 0) {
    throw new NorthlightError(
      'preferences/options',
      'A tie threshold of 0 leaves no room for the ties among these comparisons.',
      'Leave the tie threshold out, or set it above 0.',
    );
  }
  const model = { ids, terms, groups, priorSd, biasSd };
  let threshold = options.tieThreshold ?? (hasTies ? 0.3 : 0);
  let mode = maximise(model, threshold, { u: new Float64Array(ids.length), b: 0 });
  if (options.tieThreshold === undefined && hasTies) {
    for (let round = 0; round < 3; round++) {
      threshold = profileThreshold(terms, mode);
      mode = maximise(model, threshold, mode);
    }
  }
  return describe(model, informative, threshold, mode);
}

type Term =
  | { readonly kind: 'pair'; readonly left: number; readonly right: number; readonly outcome: 'left' | 'right' | 'tie' }
  /** Plackett–Luce factor: `among[0]` was chosen from `among`. */
  | { readonly kind: 'choice'; readonly among: readonly number[] };

interface Model {
  readonly ids: readonly string[];
  readonly terms: readonly Term[];
  readonly groups: Groups;
  readonly priorSd: number;
  readonly biasSd: number;
}

interface Point {
  readonly u: Float64Array;
  readonly b: number;
}

/** Connected components: `of[i]` is the group of item i, `members[g]` its items, `place[i]` where i is in them. */
interface Groups {
  readonly of: Int32Array;
  readonly place: Int32Array;
  readonly members: readonly number[][];
}

function isInformative(c: Comparison): boolean {
  if (c.type === 'pair') return c.outcome === 'left' || c.outcome === 'right' || c.outcome === 'tie';
  return c.type === 'rank' || c.winner !== null;
}

function termsOf(c: Comparison, indexOf: (id: string) => number): Term[] {
  if (c.type === 'pair') {
    const [left, right] = slotsOf(c).map(indexOf) as [number, number];
    return [{ kind: 'pair', left, right, outcome: c.outcome as 'left' | 'right' | 'tie' }];
  }
  if (c.type === 'best') {
    const others = c.items.filter((id) => id !== c.winner);
    return [{ kind: 'choice', among: [c.winner!, ...others].map(indexOf) }];
  }
  const order = c.order.map(indexOf);
  return order.slice(0, -1).map((_, i) => ({ kind: 'choice', among: order.slice(i) }));
}

function groupsOf(count: number, links: readonly (readonly number[])[]): Groups {
  const parent = Int32Array.from({ length: count }, (_, i) => i);
  const rootOf = (i: number): number => {
    let root = i;
    while (parent[root] !== root) root = parent[root]!;
    parent[i] = root;
    return root;
  };
  for (const link of links) for (const i of link) parent[rootOf(i)] = rootOf(link[0]!);
  const numbers = new Map<number, number>();
  const of = new Int32Array(count);
  const place = new Int32Array(count);
  const members: number[][] = [];
  for (let i = 0; i < count; i++) {
    const root = rootOf(i);
    const group = numbers.get(root) ?? numbers.set(root, numbers.size).size - 1;
    if (group === members.length) members.push([]);
    of[i] = group;
    place[i] = members[group]!.length;
    members[group]!.push(i);
  }
  return { of, place, members };
}

/** ln P of the pair outcome, its derivative by x = Δ + b, and minus its second derivative. */
function pairTerm(outcome: 'left' | 'right' | 'tie', x: number, threshold: number) {
  const left = logSigmoid(x - threshold);
  const right = logSigmoid(-x - threshold);
  const pLeft = Math.exp(left);
  const pRight = Math.exp(right);
  if (outcome === 'left') return { value: left, slope: 1 - pLeft, curvature: pLeft * (1 - pLeft) };
  if (outcome === 'right') return { value: right, slope: pRight - 1, curvature: pRight * (1 - pRight) };
  return {
    value: Math.log(Math.expm1(2 * threshold)) + left + right,
    slope: pRight - pLeft,
    curvature: pLeft * (1 - pLeft) + pRight * (1 - pRight),
  };
}

function logSigmoid(x: number): number {
  return -(Math.max(-x, 0) + Math.log1p(Math.exp(-Math.abs(x))));
}

/** Softmax of the utilities, and its log-normaliser. */
function choice(u: Float64Array, among: readonly number[]): { p: number[]; logNormaliser: number } {
  const top = Math.max(...among.map((i) => u[i]!));
  const weights = among.map((i) => Math.exp(u[i]! - top));
  const sum = weights.reduce((a, b) => a + b, 0);
  return { p: weights.map((w) => w / sum), logNormaliser: top + Math.log(sum) };
}

function logPosteriorAt({ terms, priorSd, biasSd }: Model, threshold: number, { u, b }: Point): number {
  let value = 0;
  for (const term of terms) {
    if (term.kind === 'pair') value += pairTerm(term.outcome, u[term.left]! - u[term.right]! + b, threshold).value;
    else value += u[term.among[0]!]! - choice(u, term.among).logNormaliser;
  }
  for (const v of u) value -= v ** 2 / (2 * priorSd ** 2);
  return biasSd > 0 ? value - b ** 2 / (2 * biasSd ** 2) : value;
}

/** Gradient and negative Hessian: one dense block per group, bordered by the bias that all share. */
function derivatives({ terms, groups, priorSd, biasSd }: Model, threshold: number, { u, b }: Point) {
  const blocks = groups.members.map((m) => {
    const hessian = new Float64Array(m.length * m.length);
    for (let i = 0; i < m.length; i++) hessian[i * m.length + i] = 1 / priorSd ** 2;
    return {
      hessian,
      border: new Float64Array(m.length),
      gradient: Float64Array.from(m, (i) => -u[i]! / priorSd ** 2),
    };
  });
  const free = biasSd > 0;
  // A bias held at 0 has a corner of 1 and nothing beside it.
  let corner = free ? 1 / biasSd ** 2 : 1;
  let cornerGradient = free ? -b / biasSd ** 2 : 0;
  for (const term of terms) {
    const first = term.kind === 'pair' ? term.left : term.among[0]!;
    const group = groups.of[first]!;
    const { hessian, border, gradient } = blocks[group]!;
    const n = groups.members[group]!.length;
    const add = (i: number, j: number, v: number) => {
      hessian[groups.place[i]! * n + groups.place[j]!]! += v;
    };
    if (term.kind === 'pair') {
      const { left, right } = term;
      const { slope, curvature } = pairTerm(term.outcome, u[left]! - u[right]! + b, threshold);
      gradient[groups.place[left]!]! += slope;
      gradient[groups.place[right]!]! -= slope;
      add(left, left, curvature);
      add(right, right, curvature);
      add(left, right, -curvature);
      add(right, left, -curvature);
      if (free) {
        border[groups.place[left]!]! += curvature;
        border[groups.place[right]!]! -= curvature;
        corner += curvature;
        cornerGradient += slope;
      }
    } else {
      const { p } = choice(u, term.among);
      gradient[groups.place[first]!]! += 1;
      for (const [a, i] of term.among.entries()) {
        gradient[groups.place[i]!]! -= p[a]!;
        add(i, i, p[a]!);
        for (const [c, j] of term.among.entries()) add(i, j, -p[a]! * p[c]!);
      }
    }
  }
  return { blocks, corner, cornerGradient };
}

function maximise(model: Model, threshold: number, from: Point): Point {
  let point = from;
  let value = logPosteriorAt(model, threshold, point);
  for (let iteration = 0; iteration < 200; iteration++) {
    const system = derivatives(model, threshold, point);
    const { steps, cornerStep } = solveBordered(system.blocks, system.corner, system.cornerGradient);
    const largest = Math.max(
      Math.abs(cornerStep),
      ...steps.map((s) => s.reduce((a, v) => Math.max(a, Math.abs(v)), 0)),
    );
    let scale = 1;
    for (;;) {
      const u = point.u.slice();
      for (const [g, members] of model.groups.members.entries()) {
        for (const [k, i] of members.entries()) u[i]! += scale * steps[g]![k]!;
      }
      const next = { u, b: point.b + scale * cornerStep };
      const reached = logPosteriorAt(model, threshold, next);
      // The last steps are below what the value can resolve.
      if (reached >= value || largest * scale < 1e-7) {
        point = next;
        value = reached;
        break;
      }
      scale /= 2;
    }
    if (largest < 1e-10) return point;
  }
  throw new NorthlightError(
    'preferences/fit',
    'The fit of the comparisons did not settle.',
    'Use a smaller prior sd, and check that utilities are not forced by thousands of one-sided votes.',
  );
}

function profileThreshold(terms: readonly Term[], { u, b }: Point): number {
  let best = 0;
  let bestValue = Number.NEGATIVE_INFINITY;
  for (let k = 0; k < 40; k++) {
    const threshold = 0.02 * 150 ** (k / 39); // 0.02 … 3
    let value = -((Math.log(threshold / 0.3) / 0.7) ** 2) / 2;
    for (const term of terms) {
      if (term.kind === 'pair') value += pairTerm(term.outcome, u[term.left]! - u[term.right]! + b, threshold).value;
    }
    if (value > bestValue) {
      bestValue = value;
      best = threshold;
    }
  }
  return best;
}

function describe(model: Model, informative: readonly Comparison[], threshold: number, mode: Point): BradleyTerryFit {
  const { ids, groups, biasSd } = model;
  const { blocks, corner, cornerGradient } = derivatives(model, threshold, mode);
  const { covariance, cornerVariance } = solveBordered(blocks, corner, cornerGradient);
  const covarianceOf = (i: number, j: number) =>
    covariance(groups.of[i]!, groups.place[i]!, groups.of[j]!, groups.place[j]!);
  const counts = new Map<string, number>();
  for (const c of informative) for (const id of c.items) counts.set(id, (counts.get(id) ?? 0) + 1);
  const items = new Map<string, ItemFit>(
    ids.map((id, i) => [
      id,
      {
        utility: mode.u[i]!,
        sd: Math.sqrt(covarianceOf(i, i)),
        comparisons: counts.get(id) ?? 0,
        group: groups.of[i]!,
      },
    ]),
  );
  const indexOf = new Map(ids.map((id, i) => [id, i]));
  return {
    items,
    connected: groups.members.length <= 1,
    bias: mode.b,
    biasSd: biasSd > 0 ? Math.sqrt(cornerVariance) : 0,
    tieThreshold: threshold,
    logPosterior: logPosteriorAt(model, threshold, mode),
    difference(a, b) {
      const i = indexOf.get(a);
      const j = indexOf.get(b);
      if (i === undefined || j === undefined)
        throw new RangeError(`Item "${i === undefined ? a : b}" is not in this fit.`);
      const variance = covarianceOf(i, i) + covarianceOf(j, j) - 2 * covarianceOf(i, j);
      return { mean: mode.u[i]! - mode.u[j]!, sd: Math.sqrt(Math.max(0, variance)) };
    },
  };
}
