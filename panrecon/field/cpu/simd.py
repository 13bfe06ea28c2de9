"""SIMD vectors of fixed length for compiled loops (numba, by LLVM's vector types).

Left to itself, LLVM takes the numbers of a table's row one by one: it cannot know that what is written is not what is
read next. Lengths are those of tuples, part of a type and hence known when a loop is compiled. Tables are in C order.

numba's cache depends on a kernel's own file alone: who changes this one must touch `hash_kernels.py` and
`mlp_kernels.py`, too.
"""

import operator
from typing import Any, no_type_check

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, overload, register_model


class Vector(types.Type):
    """A fixed number of values of one type."""

    def __init__(self, dtype: types.Type, length: int) -> None:
        super().__init__(f"Vector({dtype}, {length})")
        self.dtype, self.length = dtype, length


@register_model(Vector)
class VectorModel(models.PrimitiveModel):
    """LLVM's vector."""

    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, ir.VectorType(manager.lookup(kind.dtype).get_value_type(), kind.length))  # type: ignore[no-untyped-call]


def _address(context: Any, builder: Any, table: Any, places: Any, vector: Any) -> Any:
    """The address of a vector in a table, from the types and values of table, row and column."""
    (values, row, column), (kind, *kinds) = places, table
    indices = [context.cast(builder, value, of, types.intp) for value, of in zip((row, column), kinds, strict=True)]
    array = context.make_array(kind)(context, builder, values)
    pointer = cgutils.get_item_pointer(context, builder, kind, array, indices)  # type: ignore[no-untyped-call]
    return builder.bitcast(pointer, vector.as_pointer())


@intrinsic
def load(typing: Any, table: Any, row: Any, first: Any, like: Any) -> Any:
    """As many numbers of a table's row as a tuple is long, from a column on."""
    vector = Vector(table.dtype, len(like))

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, (table, row, first), arguments[:3], context.get_value_type(vector))
        return builder.load(address, align=table.dtype.bitwidth // 8)

    return vector(table, row, first, like), code


@intrinsic
def store(typing: Any, vector: Any, table: Any, row: Any, first: Any) -> Any:
    """Writes a vector into a table's row, from a column on."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, (table, row, first), arguments[1:], arguments[0].type)
        builder.store(arguments[0], address, align=table.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(vector, table, row, first), code


@intrinsic
def prefetch(typing: Any, table: Any, row: Any, first: Any) -> Any:
    """Prefetches a part of a table's row, without waiting for it."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number, byte = ir.IntType(32), ir.IntType(8)
        address = _address(context, builder, (table, row, first), arguments, byte)
        kind = ir.FunctionType(ir.VoidType(), [byte.as_pointer(), number, number, number])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")  # type: ignore[no-untyped-call]
        builder.call(prefetch, [address, *(ir.Constant(number, value) for value in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(table, row, first), code


@intrinsic
def broadcast(typing: Any, number: Any, like: Any) -> Any:
    """A vector as long as a tuple, of one number."""
    vector = Vector(number, len(like))

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _splat(builder, arguments[0], context.get_value_type(vector))

    return vector(number, like), code


def _splat(builder: Any, number: Any, kind: Any) -> Any:
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    places = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), places)


@intrinsic
def insert(typing: Any, vector: Any, index: Any, number: Any) -> Any:
    """The vector with another number at an index."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.insert_element(arguments[0], arguments[2], arguments[1])

    return vector(vector, index, number), code


@intrinsic
def extract(typing: Any, vector: Any, index: Any) -> Any:
    """The number at an index."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.extract_element(arguments[0], arguments[1])

    return vector.dtype(vector, index), code


def _operation(name: str) -> Any:
    """Number by number with a vector, or with one number for all; a product and a sum may become one operation."""

    @intrinsic
    def operation(typing: Any, left: Any, right: Any) -> Any:
        vector = right if isinstance(right, Vector) else left

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = context.get_value_type(vector)
            pair = (value if value.type == kind else _splat(builder, value, kind) for value in arguments)
            return getattr(builder, name)(*pair, flags=("contract",))

        return vector(left, right), code

    @no_type_check  # numba requires the signature of what it overloads
    def choose(left, right):
        if isinstance(left, Vector) or isinstance(right, Vector):
            return lambda left, right: operation(left, right)
        return None

    return choose


for _operator, _name in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    overload(_operator)(_operation(_name))
