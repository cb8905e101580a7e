import { NorthlightError } from '#models/errors.ts';
import { withAttributes } from '#models/onnx/inline-functions.ts';
import type { LocalFunction, Node } from '#models/onnx/ir.ts';
import { type Bound, type Inliner, inputsOf, lookUp, type Scope } from './import-scope.ts';
import { widenNode } from './precision.ts';

/** Functions may call functions; more than this deep they call themselves. */
const MAX_DEPTH = 32;

/**
 * A call of a function that the model defines itself, as a copy of the function's body. Omitted inputs stay omitted, and
 * nodes of the body are in the function's own opsets.
 * @throws {NorthlightError} `onnx/recursive-function`.
 */
export function inlineFunction(to: Inliner, scope: Scope, node: Node, f: LocalFunction): (Bound | undefined)[] {
  if (scope.calls >= MAX_DEPTH) {
    throw new NorthlightError(
      'onnx/recursive-function',
      `The function "${f.name}" calls itself, or calls are nested more than ${MAX_DEPTH} deep.`,
      'Export the model again.',
    );
  }
  const names = new Map<string, Bound>();
  const omitted = new Set<string>(f.inputs.slice(node.inputs.length));
  inputsOf(scope, node).forEach((bound, i) => {
    const name = f.inputs[i];
    if (name === undefined) return;
    if (bound) names.set(name, bound);
    else omitted.add(name);
  });
  const prefix = `${scope.prefix}${node.name || f.name}/`;
  const inner: Scope = { names, outer: null, prefix, opsets: f.opsets, calls: scope.calls + 1 };
  const attributes = new Map([...f.defaults, ...node.attributes]);
  const body = f.nodes.map((n) => {
    const own = withAttributes(n, attributes, omitted);
    return to.compute === 'float32' ? widenNode(own) : own;
  });
  to.nodes(body, inner);
  const reader = `An output of the function "${f.name}"`;
  return node.outputs.map((o, i) => (o === '' || !f.outputs[i] ? undefined : lookUp(inner, f.outputs[i], reader)));
}
