import { type Initializer, isExternal, type Node } from '#models/onnx/ir.ts';

/** What is known about a layer's surroundings in its graph. */
export interface LayerContext {
  /** Value name → nodes that read it. */
  readonly users: ReadonlyMap<string, readonly Node[]>;
  readonly initializers: ReadonlyMap<string, Initializer>;
}

/** `down.0.to_q.weight`, and as quantisers rename it: `down.0.to_q.weight_quantized`, `down.0.to_q.MatMul.weight_Q4`. */
const WEIGHT = /^(?!onnx::)(.+?)(?:\.MatMul)?\.weight(?:_\w+)?$/;
/** The operator at the end of a node's or value's path, with what runtimes append when they fuse: `/a/fc/MatMul/MatMulAddFusion`. */
const OPERATOR = /\/(?:Fused)?(?:MatMul|Gemm|Conv)[^/]*(?:\/\w*Fusion\w*)?$/;

/**
 * The dotted path of the module that a layer's node stands for. Exporters keep it in the weight's name; where they fold a
 * transpose into the weight (`onnx::MatMul_1234`) it is left in the node's path, or, where an optimiser dropped node names,
 * in that of its output. The bias keeps its name: it tells more where the path is of another scope or missing.
 */
export function moduleName(node: Node, weight: string, context: LayerContext): string {
  const byWeight = WEIGHT.exec(weight)?.[1];
  if (byWeight !== undefined) return byWeight;
  const bias = biasName(node, context);
  const path = [node.name, ...node.outputs].find((name) => OPERATOR.test(name));
  if (path === undefined) {
    return bias ?? (node.name || node.outputs[0]!).replace(/^\//, '').replaceAll('/', '.');
  }
  const scope = path.replace(OPERATOR, '').replace(/^\//, '').replaceAll('/', '.');
  return bias !== undefined && isSame(scope, bias) ? bias : scope;
}

/** Whether a scope, which may lack its beginning and have a counter at its end, can be the module of a bias. */
function isSame(scope: string, module: string): boolean {
  const endsWith = (end: string) => module === end || module.endsWith(`.${end}`);
  return endsWith(scope) || endsWith(scope.replace(/_\d+$/, ''));
}

/** The module that owns the bias added to the node's output, if it is named after one. */
function biasName(node: Node, { users, initializers }: LayerContext): string | undefined {
  const added = (users.get(node.outputs[0]!) ?? []).filter((user) => user.opType === 'Add').flatMap((u) => u.inputs);
  for (const name of [...node.inputs.slice(2), ...added]) {
    const init = initializers.get(name);
    if (init && (isExternal(init) || init.dtype !== 'string') && name.endsWith('.bias')) {
      return name.slice(0, -'.bias'.length);
    }
  }
  return undefined;
}

/** What people wrap a network in before they export it. `text_model` is no wrapper: other tools say it too. */
const WRAPPERS = new Set(['unet', 'transformer', 'text_encoder', 'model', 'module', '_orig_mod', 'base_model']);

/** Module paths without the wrappers that all of them stand in: `unet.conv_in`, `unet.conv_out` → `conv_in`, `conv_out`. */
export function withoutWrappers(modules: readonly string[]): string[] {
  const first = modules[0]?.split('.')[0] ?? '';
  if (!WRAPPERS.has(first) || !modules.every((m) => m.startsWith(`${first}.`))) return [...modules];
  return withoutWrappers(modules.map((m) => m.slice(first.length + 1)));
}

/** diffusers, CLIP, the joint attention of SD3 and Flux, and the first autoencoders. */
const PROJECTION =
  /(^|\.)(to_[qkv]|to_qkv|to_kv|to_out(\.0)?|add_[qkv]_proj|to_add_out|[qkv]_proj|qkv_proj|out_proj|qkv|proj_attn)$/;
/** In and out of a transformer inside a larger block; at the top level these names belong to the whole network. */
const AROUND = /\.(proj_in|proj_out)$/;
/** Short names, which are attention's only beside each other: T5 (`q`, `k`, `v`, `o`), fused ones (`qkv`, `proj`). */
const SHORT = /^(.*\.)?(q|k|v|o|out|proj)$/;

/** Which of a network's modules are projections of an attention block. */
export function attentionProjections(modules: Iterable<string>): Set<string> {
  const all = new Set(modules);
  const isShort = (m: string) => {
    const [, parent = '', name] = SHORT.exec(m) ?? [];
    if (name === undefined) return false;
    return all.has(`${parent}qkv`) || ['q', 'k', 'v'].every((p) => all.has(parent + p));
  };
  return new Set([...all].filter((m) => PROJECTION.test(m) || AROUND.test(m) || isShort(m)));
}
