"""Eight sums side by side, as vector instructions: what the loop vectoriser cannot see in a short inner loop."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 8


def _add_lanes(typing: Any, line: Any, start: Any, table: Any, block: Any, found: Any) -> Any:
    """found[8 block + l] = sum over n of table[block, n, l] * line[start + n], for l < LANES.

    ``line`` (inputs,), ``table`` (blocks, width, LANES), ``found`` (blocks * LANES,): C order, of one float dtype. Even
    and odd n are summed apart, each in ascending order, then together: the second sum does not wait for the first.
    Every product and sum is rounded by itself.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lines, tables, founds = (
            context.make_array(signature.args[n])(context, builder, arguments[n]) for n in (0, 2, 4)
        )
        start, block = (context.cast(builder, arguments[n], signature.args[n], types.intp) for n in (1, 3))
        scalar = context.get_data_type(signature.args[0].dtype)
        vector = ir.VectorType(scalar, LANES)
        align = 4 if isinstance(scalar, ir.FloatType) else 8
        nothing, undefined = ir.Constant(vector, None), ir.Constant(vector, ir.Undefined)
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
        width = builder.extract_value(tables.shape, 1)
        one = ir.Constant(width.type, 1)
        run = builder.gep(lines.data, [start])
        weights = builder.gep(builder.bitcast(tables.data, vector.as_pointer()), [builder.mul(block, width)])
        even, odd = (cgutils.alloca_once_value(builder, nothing) for _ in range(2))  # type: ignore[no-untyped-call]

        def add(total: Any, n: Any) -> None:
            value = builder.insert_element(undefined, builder.load(builder.gep(run, [n])), ir.IntType(32)(0))
            spread = builder.shuffle_vector(value, undefined, everywhere)
            product = builder.fmul(builder.load(builder.gep(weights, [n]), align=align), spread)
            builder.store(builder.fadd(builder.load(total), product), total)

        with cgutils.for_range(builder, builder.lshr(width, one), intp=width.type) as loop:
            n = builder.shl(loop.index, one)
            add(even, n)
            add(odd, builder.add(n, one))
        with cgutils.for_range(builder, builder.and_(width, one), intp=width.type):
            add(even, builder.sub(width, one))
        target = builder.gep(builder.bitcast(founds.data, vector.as_pointer()), [block])
        builder.store(builder.fadd(builder.load(even), builder.load(odd)), target, align=align)
        return context.get_dummy_value()

    return types.void(line, start, table, block, found), generate


add_lanes: Any = intrinsic(_add_lanes)
