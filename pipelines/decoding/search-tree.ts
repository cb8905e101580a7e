import { argmax, logMeanExp } from './weights.ts';

/** How values of children make the value of their parent: α·log mean exp(v/α), or the mean over visits. */
export type Backup = 'soft' | 'mean';

/** A place in a tree of partly denoised samples. `D` is whatever it takes to go on from there. */
export interface TreeNode<D> {
  readonly data: D;
  /** 0 for the root. */
  readonly depth: number;
  /** Number of the path among those of its depth, `parent·branch + which`: 0 for all first children. */
  readonly path: number;
  readonly children: TreeNode<D>[];
  /** What it was worth when it was made; of a leaf, its reward. */
  prior: number;
  /** As backed up from its children. */
  value: number;
  visits: number;
}

export function treeNode<D>(data: D, depth: number, path: number): TreeNode<D> {
  return { data, depth, path, children: [], prior: 0, value: 0, visits: 0 };
}

/** Value of a node from its `branch` places for children. A place without a child is worth what the node was at first. */
export function backedUp<D>(
  node: TreeNode<D>,
  { backup, alpha, branch }: { readonly backup: Backup; readonly alpha: number; readonly branch: number },
): number {
  if (node.children.length === 0) return node.prior;
  const empty = branch - node.children.length;
  if (backup === 'soft') {
    const values = [...node.children.map((c) => c.value), ...new Array<number>(empty).fill(node.prior)];
    return alpha * logMeanExp(values.map((v) => v / alpha));
  }
  const visits = node.children.reduce((sum, c) => sum + c.visits, 0) + empty;
  return (node.children.reduce((sum, c) => sum + c.visits * c.value, 0) + empty * node.prior) / visits;
}

/** After a visit: values and counts of a path, from its last node to the root. */
export function backUp<D>(path: readonly TreeNode<D>[], how: Parameters<typeof backedUp>[1]): void {
  for (const node of path.toReversed()) {
    node.visits++;
    node.value = backedUp(node, how);
  }
}

/**
 * The child to go on with: the largest `v̂ + c·√(ln N/n)`, v̂ scaled so that the tree's values fill [0, 1]; the first of a tie.
 * UCB1, Auer, Cesa-Bianchi, Fischer 2002.
 */
export function selectChild<D>(
  node: TreeNode<D>,
  among: readonly TreeNode<D>[],
  range: readonly [min: number, max: number],
  exploration: number,
): TreeNode<D> {
  const width = range[1] - range[0] || 1;
  const bounds = among.map(
    (c) => (c.value - range[0]) / width + exploration * Math.sqrt(Math.log(node.visits) / c.visits),
  );
  return among[argmax(bounds)]!;
}

/** Smallest and largest value of the nodes under a root. */
export function valueRange<D>(root: TreeNode<D>): [min: number, max: number] {
  let range: [number, number] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const child of root.children) {
    const [min, max] = valueRange(child);
    range = [Math.min(range[0], child.value, min), Math.max(range[1], child.value, max)];
  }
  return range;
}
