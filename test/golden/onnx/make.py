# Made with the Python package onnx 1.12.0: python3 make.py
import onnx, numpy as np
from onnx import helper as h, TensorProto as T, numpy_helper as nh
weights = []
for t, n in [(T.FLOAT, 'f4'), (T.DOUBLE, 'f8'), (T.INT8, 'i1'), (T.UINT8, 'u1'), (T.INT16, 'i2'), (T.UINT16, 'u2'),
             (T.INT32, 'i4'), (T.UINT32, 'u4'), (T.INT64, 'i8'), (T.UINT64, 'u8'), (T.BOOL, '?'), (T.FLOAT16, 'f2')]:
    a = np.array([[0, 1, 3], [5, 7, 100]]).astype(n)
    if n[0] in 'if': a = -a
    weights.append(nh.from_array(a, f'raw_{t}'))
    weights.append(h.make_tensor(f'typed_{t}', t, [2, 3], a.flatten().tolist()))
weights.append(h.make_tensor('bfloat16', T.BFLOAT16, [3], [1.0, -2.0, 3.5]))
weights.append(h.make_tensor('strings', T.STRING, [2], [b'a', 'ü'.encode()]))
weights.append(nh.from_array(np.arange(64).reshape(8, 8).astype('f4'), 'W'))
weights.append(nh.from_array(np.array(3.5, dtype='f4'), 'scalar'))
weights.append(nh.from_array(np.zeros((0, 4), dtype='f4'), 'none'))
info = h.make_tensor_value_info
then = h.make_graph([h.make_node('Add', ['x', 'x'], ['t'])], 'then', [], [info('t', T.FLOAT, [None, None])])
other = h.make_graph([h.make_node('Mul', ['x', 'scalar'], ['t'])], 'else', [], [info('t', T.FLOAT, [None, 8])])
nodes = [
    h.make_node('Identity', ['c'], ['cc']),
    h.make_node('MatMul', ['x', 'W'], ['y'], name='mm'),
    h.make_node('If', ['cc'], ['z'], then_branch=then, else_branch=other),
    h.make_node('Constant', [], ['k1'], value=h.make_tensor('v', T.FLOAT, [2], [1, 2])),
    h.make_node('Constant', [], ['k2'], value_ints=[-1, 2**63 - 1, -2**63, 5]),
    h.make_node('Constant', [], ['k3'], value_strings=['p', 'q']),
    h.make_node('Constant', [], ['k4'], value_floats=[1.5, -2.0]),
    h.make_node('Constant', [], ['k5'], value_float=0.0),
    h.make_node('Constant', [], ['k6'], value_int=-3),
    h.make_node('Constant', [], ['k7'], value_string='hé'),
]
graph = h.make_graph(
    nodes, 'main', [info('x', T.FLOAT, ['batch', 8]), info('c', T.BOOL, [])],
    [info('y', T.FLOAT, ['batch', 8]), info('z', T.FLOAT, [None, 8]), info('k2', T.INT64, [4])],
    initializer=weights, value_info=[info('cc', T.BOOL, [])])
model = h.make_model(graph, opset_imports=[h.make_opsetid('', 15)], producer_name='golden')
model.metadata_props.add(key='k', value='v')
onnx.checker.check_model(model)
onnx.save(model, 'all-types.onnx')
onnx.save(model, 'external.onnx', save_as_external_data=True, all_tensors_to_one_file=True,
          location='external.data', size_threshold=100)
