"""Networks whose shapes are computed by operators on the shape of their input, in ONNX's text format."""

from __future__ import annotations

_HEAD = """<ir_version: 8, opset_import: ["" : 17]>
shapes (float[{batch},6,4] x) => (float[{sizes}] y) <int64 zero = {{0}}, int64 one = {{1}}, int64 six = {{6}},
int64[1] zeros = {{0}}, int64[1] ones = {{1}}, int64[1] twos = {{2}}, int64[1] rest = {{-1}},
int64[3] unit = {{1, 1, 1}}, float[4,4] w = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7}}>
{{ s = Shape(x) n = Gather(s, zero) v = Unsqueeze(n, zeros) h = MatMul(x, w)
"""
_TO_ROWS = "t = Concat <axis = 0> (r, rest) y = Reshape(h, t) }"
_BODIES = {
    "Shape": "r0 = Shape(s) r = Sub(r0, twos) p = Concat <axis = 0> (v, rest, r) y = Reshape(h, p) }",
    "Gather": "i = Constant <value_ints = [0]> () r = Gather(s, i) " + _TO_ROWS,
    "Concat": "r = Identity(v) " + _TO_ROWS,
    "Identity": "m = Identity(n) r = Unsqueeze(m, zeros) " + _TO_ROWS,
    "Cast": "m = Cast <to = 6> (n) k = Cast <to = 7> (m) r = Unsqueeze(k, zeros) " + _TO_ROWS,
    "Slice": "r = Slice(s, zeros, ones) " + _TO_ROWS,
    "Squeeze": "m = Squeeze(v) r = Unsqueeze(m, zeros) " + _TO_ROWS,
    "Unsqueeze": "r = Unsqueeze(n, zeros) " + _TO_ROWS,
    "Reshape": "r = Reshape(n, ones) " + _TO_ROWS,
    "Add": "m = Add(n, zero) k = Mul(m, six) r = Unsqueeze(k, zeros) " + _TO_ROWS,
    "Sub": "d = Gather(s, one) m = Mul(n, d) k = Sub(m, zero) r = Unsqueeze(k, zeros) " + _TO_ROWS,
    "Mul": "m = Mul(v, ones) r = Mul(m, six) " + _TO_ROWS,
    "Div": "m = Mul(n, six) k = Div(m, six) r = Unsqueeze(k, zeros) " + _TO_ROWS,
    "Mod": "k = Constant <value_int = 1000> () m = Mod(n, k) r = Unsqueeze(m, zeros) " + _TO_ROWS,
    "Max": "m = Max(n, one) r = Unsqueeze(m, zeros) " + _TO_ROWS,
    "Min": "k = Constant <value_int = 1000> () m = Min(n, k) r = Unsqueeze(m, zeros) " + _TO_ROWS,
    "ReduceProd": "a = Slice(s, zeros, twos) r = ReduceProd <axes = [0], keepdims = 1> (a) " + _TO_ROWS,
    "Where": "q = Equal(s, unit) d = Where(q, unit, s) y = Expand(h, d) }",
    "Equal": "e = Equal(n, zero) k = Where(e, one, n) r = Unsqueeze(k, zeros) " + _TO_ROWS,
    "Greater": "e = Greater(n, zero) k = Where(e, n, one) r = Unsqueeze(k, zeros) " + _TO_ROWS,
    "GreaterOrEqual": "e = GreaterOrEqual(n, one) k = Where(e, n, one) r = Unsqueeze(k, zeros) " + _TO_ROWS,
    "Less": "e = Less(n, zero) k = Where(e, one, n) r = Unsqueeze(k, zeros) " + _TO_ROWS,
    "LessOrEqual": "e = LessOrEqual(n, zero) k = Where(e, one, n) r = Unsqueeze(k, zeros) " + _TO_ROWS,
}
"""By operator, the remainder of a graph in which it computes a size from the batch size ``n`` or its list ``v``."""


def shape_graph(op: str, batch: str) -> str:
    """Text of the model for ``op``. ``batch`` is the batch size, or the name of a dynamic one."""
    body = _BODIES[op]
    return _HEAD.format(batch=batch, sizes="a, c" if body.endswith(_TO_ROWS) else "a, c, d") + body


OPERATORS = tuple(_BODIES)
