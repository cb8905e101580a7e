import type { SessionOptions } from './session.ts';

/** Above this, copies of weights and slow rewriting of the graph cost more than they give. */
const LARGE_BYTES = 1e9;

/** The options of a session that follow from the size of its graph. */
export type PlannedSession = Required<
  Pick<SessionOptions, 'training' | 'optimization' | 'prepack' | 'foldConstants' | 'arena'>
>;

/**
 * How a session of a training graph is opened.
 * @param graph.weightBytes of all weights; `scoped`: the backward pass is in branches (models/autodiff/checkpoint.ts);
 *   `halfWeights`: weights are stored in 16 bits and widened in the graph.
 * @param graph.peakBytes what a step takes without copies of weights. @param budgetBytes what it may take.
 */
export function trainingSessionOptions(
  graph: {
    readonly weightBytes: number;
    readonly peakBytes: number;
    readonly scoped: boolean;
    readonly halfWeights: boolean;
  },
  budgetBytes: number,
): PlannedSession {
  const large = graph.weightBytes > LARGE_BYTES;
  const room = graph.peakBytes + 1.2 * graph.weightBytes <= budgetBytes;
  return {
    training: true,
    // Level `all` lays convolutions out anew: 8 % faster, but minutes of it at a gigabyte, and wrong inside branches.
    optimization: graph.scoped || large ? 'extended' : 'all',
    // A second copy of every weight, for about 10 % of the time.
    prepack: !large || room,
    // Folding would keep widened weights and turned kernels for the life of the session.
    foldConstants: !(large && (graph.halfWeights || graph.scoped)),
    // The arena grows by doubling and keeps what it ever held: half as much again as the graph needs. It is for processes whose
    // allocator gives large buffers back to the system after every operator.
    arena: !large && !allocatorKeeps() && 2 * graph.peakBytes <= budgetBytes,
  };
}

/** Whether this process was started with {@link COMPUTE_ENVIRONMENT}, and its C library reads it. */
const allocatorKeeps = (): boolean => process.platform === 'linux' && 'MALLOC_TRIM_THRESHOLD_' in process.env;

/**
 * What must be in the environment of a process before it runs large graphs (glibc reads it at start): large buffers are
 * kept for reuse rather than given back and zeroed again at every operator, in pages of 2 MB. 2²⁵ is the largest threshold
 * that glibc takes; it ignores larger ones. One arena for all threads: the others are made of 64 MB heaps, which go back to the
 * system whenever they are empty.
 */
export const COMPUTE_ENVIRONMENT: Readonly<Record<string, string>> = {
  MALLOC_MMAP_THRESHOLD_: String(2 ** 25),
  MALLOC_TRIM_THRESHOLD_: String(2 ** 32),
  MALLOC_ARENA_MAX: '1',
  GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1',
};
