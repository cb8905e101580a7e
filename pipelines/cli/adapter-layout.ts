/** One layer an adapter changes: y += B·A·x with A `[rank, in…]` and B `[out, rank…]`. */
export interface AdapterTarget {
  readonly name: string;
  readonly rank: number;
  readonly inFeatures: number;
  readonly outFeatures: number;
}

export interface AdapterLayout {
  readonly naming: 'peft' | 'diffusers' | 'kohya' | 'mixed' | 'none';
  readonly ranks: readonly number[];
  readonly targets: readonly AdapterTarget[];
  /** Targets with only one of the two matrices, or with ranks that disagree. */
  readonly incomplete: readonly string[];
  /** Tensors that belong to no pair. */
  readonly unknown: readonly string[];
}

/** Name endings of the two halves, in the three namings in use. `.weight` follows each. */
const namings = [
  { naming: 'peft', down: '.lora_A', up: '.lora_B' },
  { naming: 'diffusers', down: '.lora.down', up: '.lora.up' },
  { naming: 'kohya', down: '.lora_down', up: '.lora_up' },
] as const;

/** Reads the layout of an adapter off its tensor names and shapes. */
export function adapterLayout(dimsOf: ReadonlyMap<string, readonly number[]>): AdapterLayout {
  const pairs = new Map<string, { naming: string; down?: readonly number[]; up?: readonly number[] }>();
  const unknown: string[] = [];
  for (const [name, dims] of dimsOf) {
    const stem = name.replace(/\.weight$/, '');
    const half = namings
      .flatMap(({ naming, down, up }) => [
        { naming, side: 'down' as const, ending: down },
        { naming, side: 'up' as const, ending: up },
      ])
      .find(({ ending }) => stem.endsWith(ending) || stem.endsWith(`${ending}.default`));
    if (half === undefined) {
      if (!/\.alpha$/.test(name)) unknown.push(name);
      continue;
    }
    const target = stem.slice(0, stem.lastIndexOf(half.ending));
    pairs.set(target, { ...pairs.get(target), naming: half.naming, [half.side]: dims });
  }
  const targets: AdapterTarget[] = [];
  const incomplete: string[] = [];
  for (const [name, { down, up }] of [...pairs].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const rank = down?.[0];
    if (down === undefined || up === undefined || rank === undefined || up[1] !== rank) incomplete.push(name);
    else targets.push({ name, rank, inFeatures: down.slice(1).reduce((a, b) => a * b, 1), outFeatures: up[0] ?? 0 });
  }
  const used = new Set([...pairs.values()].map((pair) => pair.naming));
  return {
    naming: used.size === 0 ? 'none' : used.size > 1 ? 'mixed' : ([...used][0] as AdapterLayout['naming']),
    ranks: [...new Set(targets.map((target) => target.rank))].sort((a, b) => a - b),
    targets,
    incomplete,
    unknown,
  };
}
