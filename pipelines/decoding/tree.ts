import { z } from 'zod';
import type { Clean, Decoded, DecodingStep, Score, TreePlace } from '#pipelines/sampling/steering.ts';
import { stillTrue } from './ask.ts';
import type { Chain } from './chain.ts';
import { askNetwork, askReward, lockstep, type Search } from './lockstep.ts';
import { backUp, selectChild, type TreeNode, treeNode, valueRange } from './search-tree.ts';

export const treeOptions = z.object({
  branch: z.int().min(1).max(16).default(3).describe('Ways to go on from each place of the tree (B)'),
  depth: z
    .int()
    .min(1)
    .max(12)
    .default(6)
    .describe('Steps of the sampler at which the tree branches, early ones denser (D)'),
  budget: z
    .number()
    .min(1)
    .max(10_000)
    .default(8)
    .describe('Denoiser calls of each sample, as a multiple of plain sampling’s'),
  alpha: z
    .number()
    .gt(0)
    .default(0.1)
    .describe('Temperature of the soft backup: small looks at the best child, large at the mean'),
  backup: z
    .enum(['soft', 'mean'])
    .default('soft')
    .describe('Value of a place: α·log mean exp of its children’s, or their mean over visits'),
  rollout: z
    .number()
    .min(0)
    .max(1)
    .default(0.5)
    .describe(
      'Share of a finished sample’s reward in the value of a new place, against the reward of its best guess; 0 finishes none',
    ),
  exploration: z.number().min(0).default(0.7).describe('How much places that were visited less are favoured (c)'),
});
export type TreeOptions = z.output<typeof treeOptions>;

/** What it takes to go on from a place of the tree. */
export interface Place<S, E> {
  readonly state: S;
  /** Null where the sample is finished. */
  readonly said: E | null;
}

/**
 * Monte-Carlo tree search over a sampler: places at checkpoints of the chain, children by other random numbers between them, chosen by
 * upper confidence bounds; after ReST-MCTS*, Zhang et al. 2024 (arXiv:2406.03816), with the reward in place of a process value.
 * Gives the best sample finished within the budget. First children are plain sampling's own, so a branch of 1 is plain sampling.
 * Leaves that differ by their last step alone cost rewards, and no call of the network.
 *
 * Deviation: a rollout is the path of first children, which stays in the tree, so nothing that was computed is lost; children
 * not made yet count with their parent's first value.
 */
export async function* tree<S, E>(
  chain: Chain<S, E>,
  score: Score,
  options: TreeOptions,
): AsyncGenerator<DecodingStep, Decoded & { readonly trees: readonly TreeNode<Place<S, E>>[] }> {
  const rows = Array.from({ length: chain.rows }, (_, row) => row);
  const spent = rows.map((): Spent => ({ calls: 0, limit: chain.steps, best: null, origin: null }));
  const searches = lockstep(
    chain,
    score,
    rows.map((row) => grow(chain, row, options, spent[row]!)),
  );
  const total = chain.steps;
  let shown = 0;
  for (;;) {
    const round = await searches.next();
    const share = rows.reduce((sum, row) => sum + spent[row]!.calls / spent[row]!.limit, 0) / rows.length;
    const step = round.done ? total : Math.min(total - 1, Math.floor(share * total));
    if (step > shown) {
      shown = step;
      const found = spent.map(({ best }) => best?.sample ?? null);
      yield {
        step,
        total,
        guess: (row) => found[row] ?? null,
        values: rows.map(() => new Float64Array()),
        chosen: rows.map(() => 0),
      };
    }
    if (!round.done) continue;
    return {
      samples: spent.map(({ best }) => best!.sample),
      rewards: Float64Array.from(spent, ({ best }) => best!.reward),
      logWeights: null,
      trees: round.value,
      tree: (row) => placesOf(chain, row, round.value[row]!, spent[row]!.origin!, options),
    };
  }
}

/** A tree as a list. Values count from `origin` in the tree, and from nothing in the list. */
function placesOf<S, E>(
  chain: Chain<S, E>,
  row: number,
  root: TreeNode<Place<S, E>>,
  origin: number,
  { depth }: TreeOptions,
): TreePlace[] {
  const cuts = checkpointsOf(chain.steps, chain.isRandom, depth);
  const places: TreePlace[] = [];
  const add = (node: TreeNode<Place<S, E>>, parent: number | null): void => {
    const { state, said } = node.data;
    const step = cuts[node.depth]!;
    const own = places.length;
    const guess = () => (said === null ? chain.finished(state) : chain.guess(step, { row, state }, said));
    const { prior, value, visits } = node;
    places.push({ parent, step, prior: prior + origin, value: value + origin, visits, guess });
    for (const child of node.children) add(child, own);
  };
  add(root, null);
  return places;
}

interface Spent {
  /** Of the denoiser; never above the limit. */
  calls: number;
  limit: number;
  best: { readonly sample: Clean; readonly reward: number } | null;
  /** Rewards count from the first one, so that a constant added to all changes nothing. */
  origin: number | null;
}

/** First steps of the segments between branchings, and the end: `[0, …, steps]`. Every segment has a random step. */
export function checkpointsOf(steps: number, isRandom: (step: number) => boolean, depth: number): number[] {
  const random = Array.from({ length: steps }, (_, i) => i).filter(isRandom);
  const segments = Math.max(1, Math.min(depth, random.length));
  const out = [0];
  let last = 0;
  for (let d = 1; d < segments; d++) {
    last = Math.min(
      Math.max(last + 1, Math.floor(random.length * (d / segments) ** 1.5)),
      random.length - (segments - d),
    );
    out.push(random[last]!);
  }
  return [...out, steps];
}

function* grow<S, E>(
  chain: Chain<S, E>,
  row: number,
  options: TreeOptions,
  spent: Spent,
): Search<S, E, TreeNode<Place<S, E>>> {
  type Node = TreeNode<Place<S, E>>;
  const { rollout } = options;
  const cuts = checkpointsOf(chain.steps, chain.isRandom, options.depth);
  const depth = cuts.length - 1;
  const branch = anyRandom(chain) ? options.branch : 1;
  const how = { backup: options.backup, alpha: options.alpha, branch };
  // What a child of a place of each depth costs at most: the last state of a path is not asked about.
  const segment = (d: number) => cuts[d + 1]! - cuts[d]! - (d + 1 === depth ? 1 : 0);
  const cost = (d: number): number => (rollout > 0 && d + 1 < depth ? segment(d) + cost(d + 1) : segment(d));
  function* ask(step: number, state: S): Search<S, E, E> {
    spent.calls++;
    return (yield* askNetwork<S, E>(step, [state]))[0]!;
  }

  function* addChild(node: Node): Search<S, E, Node> {
    const path = node.path * branch + node.children.length;
    const end = cuts[node.depth + 1]!;
    let { state } = node.data;
    let said = node.data.said as E;
    for (let i = cuts[node.depth]!; i < end; i++) {
      const before = state;
      state = chain.draw(i, { row, state }, said, path, false);
      if (i + 1 === chain.steps) break;
      const known = stillTrue(chain, before, state, said);
      said = known === undefined ? yield* ask(i + 1, state) : known;
    }
    const child: Node = treeNode({ state, said: end === chain.steps ? null : said }, node.depth + 1, path);
    node.children.push(child);
    return child;
  }

  function* reward(sample: Clean): Search<S, E, number> {
    const [r] = yield* askReward<S, E>([sample]);
    spent.origin ??= r!;
    return r!;
  }

  /** Makes a child, with `finish` its first descendants too, and gives all of them their first values. */
  function* expand(above: readonly Node[], finish: boolean): Search<S, E, void> {
    const made: Node[] = [];
    let at = above.at(-1)!;
    do {
      at = yield* addChild(at);
      made.push(at);
    } while (finish && at.depth < depth);
    let leaf: number | null = null;
    if (at.depth === depth) {
      const sample = chain.finished(at.data.state);
      const r = yield* reward(sample);
      if (spent.best === null || r > spent.best.reward) spent.best = { sample, reward: r };
      leaf = r - spent.origin!;
    }
    for (const node of made) {
      if (node.depth === depth) {
        node.prior = leaf!;
        continue;
      }
      const mixed = leaf === null ? 0 : rollout;
      let guess = 0;
      if (mixed < 1) {
        const { state, said } = node.data;
        guess = (yield* reward(chain.guess(cuts[node.depth]!, { row, state }, said!))) - spent.origin!;
      }
      node.prior = mixed === 0 ? guess : (1 - mixed) * guess + mixed * leaf!;
    }
    backUp([...above, ...made], how);
  }

  const start = chain.start(row);
  const root: Node = treeNode({ state: start, said: yield* ask(0, start) }, 0, 0);
  // Plain sampling first: whatever the budget, there is a sample.
  yield* expand([root], true);
  // Where an answer stays true for some steps, plain sampling costs less than a call for each.
  spent.limit = Math.floor(options.budget * spent.calls);
  root.prior = root.children[0]!.value;

  const affordable = (d: number) => spent.calls + cost(d) <= spent.limit;
  const isOpen = (node: Node): boolean =>
    node.depth < depth && ((node.children.length < branch && affordable(node.depth)) || node.children.some(isOpen));

  while (isOpen(root)) {
    const path = [root];
    let node = root;
    while (node.children.length >= branch || !affordable(node.depth)) {
      node = selectChild(node, node.children.filter(isOpen), valueRange(root), options.exploration);
      path.push(node);
    }
    yield* expand(path, rollout > 0);
  }
  return root;
}

const anyRandom = <S, E>(chain: Chain<S, E>): boolean =>
  Array.from({ length: chain.steps }, (_, i) => i).some(chain.isRandom);
