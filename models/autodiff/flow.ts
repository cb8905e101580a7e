/** What a gradient does at a node: goes through it, ends there (its result is piecewise constant or no float), or is refused. */
export type Flow = 'through' | 'ends' | 'refused';

export interface FlowNode {
  readonly opType: string;
  readonly domain: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly flow: Flow;
}

/** Where gradients of the outputs can reach one value. */
export interface Reach {
  /** Positions of outputs whose gradient reaches it. */
  readonly outputs: readonly number[];
  /** Refused nodes on the way from those outputs: with one of them, no gradient can be had. */
  readonly refused: readonly FlowNode[];
  /** Where gradients end on the other ways from an output to it. */
  readonly ends: readonly FlowNode[];
  /** Whether any output depends on it at all. */
  readonly used: boolean;
}

/**
 * Follows gradients backwards from the outputs, once, through nodes in execution order.
 * @param outputs names of the differentiated outputs; null at the position of one that has no gradient.
 */
export function gradientReach(
  nodes: readonly FlowNode[],
  outputs: readonly { readonly name: string; readonly differentiable: boolean }[],
): (value: string) => Reach {
  interface Mark {
    outputs: bigint;
    refused: bigint;
    ends: bigint;
    used: boolean;
  }
  const marks = new Map<string, Mark>();
  const at = (name: string): Mark => {
    let mark = marks.get(name);
    if (!mark) {
      mark = { outputs: 0n, refused: 0n, ends: 0n, used: false };
      marks.set(name, mark);
    }
    return mark;
  };
  outputs.forEach(({ name, differentiable }, i) => {
    const mark = at(name);
    if (differentiable) mark.outputs |= 1n << BigInt(i);
    mark.used = true;
  });
  // Nodes that a gradient stops at get a bit each, when they are met.
  const stops: FlowNode[] = [];
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i]!;
    const below: Mark = { outputs: 0n, refused: 0n, ends: 0n, used: false };
    for (const name of node.outputs) {
      const mark = marks.get(name);
      if (!mark) continue;
      below.outputs |= mark.outputs;
      below.refused |= mark.refused;
      below.ends |= mark.ends;
      below.used ||= mark.used;
    }
    if (!below.used) continue;
    if (node.flow === 'refused' && below.outputs !== 0n) below.refused |= 1n << BigInt(stops.push(node) - 1);
    // A gradient that never got here does not end here.
    const ended = node.flow === 'ends' && below.outputs !== 0n;
    const own: Mark =
      node.flow === 'ends'
        ? { outputs: 0n, refused: 0n, ends: ended ? 1n << BigInt(stops.push(node) - 1) : below.ends, used: true }
        : below;
    for (const name of node.inputs) {
      if (name === '') continue;
      const mark = at(name);
      mark.outputs |= own.outputs;
      mark.refused |= own.refused;
      mark.ends |= own.ends;
      mark.used = true;
    }
  }
  const listed = (bits: bigint): FlowNode[] => {
    const found: FlowNode[] = [];
    for (let k = 0, rest = bits; rest !== 0n; k++, rest >>= 1n) if (rest & 1n) found.push(stops[k]!);
    return found;
  };
  return (value) => {
    const mark = marks.get(value);
    if (!mark) return { outputs: [], refused: [], ends: [], used: false };
    return {
      outputs: outputs.flatMap((_, k) => (mark.outputs & (1n << BigInt(k)) ? [k] : [])),
      refused: listed(mark.refused),
      ends: listed(mark.ends),
      used: mark.used,
    };
  };
}

/** The shortest way from a node to one of the outputs: the nodes after it, and the output's name; null without one. */
export function pathToOutput(
  nodes: readonly FlowNode[],
  from: FlowNode,
  outputs: ReadonlySet<string>,
): { readonly nodes: readonly FlowNode[]; readonly output: string } | null {
  const readers = new Map<string, FlowNode[]>();
  for (const node of nodes) {
    for (const name of node.inputs) {
      const list = readers.get(name);
      if (list) list.push(node);
      else readers.set(name, [node]);
    }
  }
  const cameFrom = new Map<FlowNode, FlowNode | null>([[from, null]]);
  const queue = [from];
  for (let node = queue.shift(); node; node = queue.shift()) {
    const output = node.outputs.find((name) => outputs.has(name));
    if (output !== undefined) {
      const way: FlowNode[] = [];
      for (let step: FlowNode | null = node; step && step !== from; step = cameFrom.get(step) ?? null)
        way.unshift(step);
      return { nodes: way, output };
    }
    for (const next of node.outputs.flatMap((name) => readers.get(name) ?? [])) {
      if (cameFrom.has(next)) continue;
      cameFrom.set(next, node);
      queue.push(next);
    }
  }
  return null;
}
