import { fc, test as property } from '@fast-check/vitest';
import { describe, expect, test } from 'vitest';
import { checkModel, topologicalSort } from '#models/onnx/check.ts';
import type { Graph, Model, Node } from '#models/onnx/ir.ts';
import { allGraphs, ancestors, capturedNames, consumers, producers, readsOf } from '#models/onnx/traverse.ts';
import { f32 } from '#models/tensor/tensor.ts';
import { anyModel } from '#test/models/onnx/random-model.ts';

const code = (expected: string) => expect.objectContaining({ name: 'NorthlightError', code: expected });

function node(inputs: string[], outputs: string[], body?: Graph): Node {
  const attributes: Node['attributes'] = body ? new Map([['body', { kind: 'graph', value: body }]]) : new Map();
  return { opType: 'Op', domain: '', name: outputs[0] ?? '', inputs, outputs, attributes };
}

function graph(nodes: Node[], outputs: string[] = [], inputs: string[] = []): Graph {
  const typed = (name: string) => ({ name, dtype: 'float32' as const, dims: null });
  return {
    name: 'g',
    nodes,
    inputs: inputs.map(typed),
    outputs: outputs.map(typed),
    initializers: new Map(),
    valueInfo: new Map(),
  };
}

function model(main: Graph): Model {
  return { irVersion: 10, producerName: '', opsets: new Map([['', 17]]), metadata: new Map(), graph: main };
}

describe('checkModel', () => {
  property.prop([anyModel])('valid models pass', (valid) => {
    checkModel(valid);
  });

  test('reading before making is a wrong order, waiting for oneself is a cycle', () => {
    expect(() => checkModel(model(graph([node(['a'], ['b']), node([], ['a'])])))).toThrow(code('onnx/order'));
    expect(() => checkModel(model(graph([node(['a'], ['b']), node(['b'], ['a'])])))).toThrow(code('onnx/cycle'));
  });

  test('an output or input from nowhere dangles, and the message names it', () => {
    expect(() => checkModel(model(graph([], ['y'])))).toThrow(code('onnx/dangling'));
    expect(() => checkModel(model(graph([node(['ghost'], ['y'])])))).toThrow(/"ghost"/);
  });

  test('a sub-graph sees what was made before its node, and nothing later', () => {
    const body = graph([node(['a'], ['inner'])], ['inner']);
    checkModel(model(graph([node([], ['a']), node([], ['b'], body)])));
    expect(() => checkModel(model(graph([node([], ['b'], body), node([], ['a'])])))).toThrow(code('onnx/order'));
    expect(() => checkModel(model(graph([node([], ['b'], body)])))).toThrow(code('onnx/dangling'));
    expect(() => checkModel(model(graph([node([], ['a']), node([], ['b'], body), node(['inner'], ['c'])])))).toThrow(
      code('onnx/dangling'),
    );
  });

  test('a weight that does not fit its shape is refused', () => {
    const g = graph([]);
    g.initializers.set('w', { ...f32([2], [1, 2]), dims: [3] });
    expect(() => checkModel(model(g))).toThrow(code('onnx/tensor-size'));
  });
});

describe('topologicalSort', () => {
  property.prop([anyModel])('keeps an order that is already valid', (valid) => {
    for (const g of allGraphs(valid.graph)) expect(topologicalSort(g)).toEqual(g.nodes);
  });

  property.prop([anyModel, fc.infiniteStream(fc.nat())])('makes any order valid again', (valid, random) => {
    const shuffled = valid.graph.nodes
      .map((n) => [random.next().value as number, n] as const)
      .sort((a, b) => a[0] - b[0])
      .map(([, n]) => n);
    const sorted = topologicalSort({ ...valid.graph, nodes: shuffled });
    expect(new Set(sorted)).toEqual(new Set(valid.graph.nodes));
    checkModel({ ...valid, graph: { ...valid.graph, nodes: sorted } });
  });

  test('a cycle through a sub-graph is found', () => {
    const body = graph([node(['b'], ['inner'])], ['inner']);
    expect(() => topologicalSort(graph([node([], ['a'], body), node(['a'], ['b'])]))).toThrow(code('onnx/cycle'));
  });
});

describe('traversal', () => {
  const body = graph([node(['a', 'own'], ['inner'])], ['inner', 'b'], ['own']);
  const main = graph(
    [node(['x'], ['a']), node(['x', ''], ['b']), node(['a'], ['c'], body), node(['x'], ['unused'])],
    ['c'],
    ['x'],
  );

  test('captured names are those a graph reads but does not define', () => {
    expect([...capturedNames(body)]).toEqual(['a', 'b']);
    expect(readsOf(main.nodes[2]!)).toEqual(['a', 'a', 'b']);
    expect(readsOf(main.nodes[1]!)).toEqual(['x']);
  });

  test('ancestors reach through sub-graphs and leave out what is not needed', () => {
    expect([...ancestors(main, ['c'])].map((n) => n.name).sort()).toEqual(['a', 'b', 'c']);
  });

  test('producers and consumers are each other’s reverse', () => {
    expect(producers(main).get('c')).toBe(main.nodes[2]);
    expect(consumers(main).get('a')).toEqual([main.nodes[2]]);
    expect(
      consumers(main)
        .get('x')
        ?.map((n) => n.name),
    ).toEqual(['a', 'b', 'unused']);
  });
});
