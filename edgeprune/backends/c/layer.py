"""C code of one step of a network, and the registry of the functions that write it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from edgeprune.backends.c.c_source import Constant, structure
from edgeprune.backends.c.int8_network import Step, Tensor
from edgeprune.errors import ModelError


@dataclass(frozen=True)
class Place:
    """Memory of an activation.

    Attributes:
        base: C expression of a pointer to bytes.
        offset: Bytes behind it.
    """

    base: str
    offset: int

    @property
    def pointer(self) -> str:
        """C expression of the first byte."""
        return f"{self.base} + {self.offset}" if self.offset else self.base


@dataclass
class Layer:
    """C code of one step.

    Attributes:
        step: The step.
        prefix: Beginning of the C identifiers of the layer.
        places: Memory of each activation.
        statements: Calls of kernels, in order.
        constants: Arrays of weights and factors.
        structures: Definitions of the structs that kernels read.
        kernels: Names of the required files in ``kernels/``, without suffix.
        macs: Multiply-adds.
    """

    step: Step
    prefix: str
    places: Mapping[Tensor, Place]
    statements: list[str] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)
    structures: list[str] = field(default_factory=list)
    kernels: dict[str, None] = field(default_factory=dict)
    macs: int = 0

    def constant(self, suffix: str, values: object) -> str:
        """Add an array of a type that ``c_source.Constant`` supports, and return its name."""
        constant = Constant(f"{self.prefix}_{suffix}", values)  # type: ignore[arg-type]
        self.constants.append(constant)
        return constant.name

    def pointer(self, tensor: Tensor) -> str:
        """Return the C expression of the first element of an activation or a constant."""
        if tensor.data is not None:
            return self.constant(f"value{tensor.index}", tensor.data)
        cast = "(float *)(void *)" if tensor.dtype.name == "float32" else ""
        pointer = self.places[tensor].pointer
        return f"{cast}({pointer})" if cast else pointer

    def bytes_pointer(self, tensor: Tensor) -> str:
        """Return the address of a tensor of any type, as a pointer to bytes."""
        if tensor.dtype.name == "int8":
            return self.pointer(tensor)
        return f"(const int8_t *){self.pointer(tensor)}" if tensor.data is not None else self.places[tensor].pointer

    def require(self, *kernels: str) -> None:
        """Add files of ``kernels/`` that the code needs."""
        self.kernels.update(dict.fromkeys(kernels))

    def call(self, kernel: str, function: str, kind: str, fields: list[tuple[str, str]], *arguments: str) -> None:
        """Add a call of ``function`` with a struct of the type ``kind`` and ``arguments``."""
        name = self._define(kernel, kind, fields)
        self.statements.append(f"{function}(&{name}, {', '.join(arguments)});")

    def call_each_sample(
        self, kernel: str, function: str, kind: str, fields: list[tuple[str, str]], source: Tensor
    ) -> None:
        """Add a call of ``function`` for each sample of ``source`` and of the output, all with one struct."""
        name = self._define(kernel, kind, fields)
        output = self.step.output
        for sample in range(output.shape[0]):
            pointers = [
                self.pointer(tensor) + (f" + {sample * (tensor.elements // tensor.shape[0])}" if sample else "")
                for tensor in (source, output)
            ]
            self.statements.append(f"{function}(&{name}, {', '.join(pointers)});")

    def _define(self, kernel: str, kind: str, fields: list[tuple[str, str]]) -> str:
        """Add a struct of the type ``kind`` for a kernel in the file ``kernel``, and return its name."""
        self.require(kernel)
        name = f"{self.prefix}_layer" + (str(len(self.structures)) if self.structures else "")
        self.structures.append(structure(kind, name, fields))
        return name


Write = Callable[[Layer], None]
Parts = tuple[Tensor, list[tuple[Tensor, int]]]
"""A tensor, and tensors that are pieces of its memory, with the index of their first element."""


INT8, FLOAT = frozenset({"int8"}), frozenset({"float32"})
ANY = INT8 | FLOAT | {"int32", "int64", "bool"}
"""Element types of activations."""


def _no_parts(_: Step) -> Parts | None:
    return None


@dataclass(frozen=True)
class Operator:
    """Facts about the code of an operator.

    Attributes:
        write: Function that writes the code of a step into a ``Layer``.
        is_view: Whether the output has the bytes of input 0 in the same order, so that both share memory without code.
        in_place: Whether the output may overwrite an input of the same size: element i of the output depends only on
            elements i of the inputs, or on elements that are read before element i is written.
        types: Possible element types of activations.
        casts: Whether inputs and outputs have different types.
        parts: Function that returns the pieces of memory that the step joins or separates without moving elements; None
            if there are none. Code copies a piece that lies elsewhere.
    """

    write: Write
    is_view: bool = False
    in_place: bool = False
    types: frozenset[str] = INT8
    casts: bool = False
    parts: Callable[[Step], Parts | None] = _no_parts


_operators: dict[str, Operator] = {}


def operator(
    *kinds: str,
    is_view: bool = False,
    in_place: bool = False,
    types: frozenset[str] = INT8,
    casts: bool = False,
    parts: Callable[[Step], Parts | None] = _no_parts,
) -> Callable[[Write], Write]:
    """Register the decorated function for the operators ``kinds``; see ``Operator``."""

    def register(write: Write) -> Write:
        for kind in kinds:
            assert kind not in _operators, f"two functions write {kind}"
            _operators[kind] = Operator(write, is_view, in_place, types, casts, parts)
        return write

    return register


def registered() -> Mapping[str, Operator]:
    """Return the operators for which there is C code, by kind."""
    from edgeprune.backends.c import ops  # noqa: F401 - registers them

    return dict(sorted(_operators.items()))


def operator_of(step: Step) -> Operator:
    """Return the operator of ``step``.

    Raises:
        ModelError: C code cannot be generated for it.
    """
    facts = registered().get(step.kind)
    if facts is None:
        raise ModelError(
            f"C code cannot be generated for {step.name}: replace the operator, compute it outside the network, or use "
            "the runtime tflm"
        )
    types = {tensor.dtype.name for tensor in (*step.activations, *step.outputs)}
    if not types <= facts.types or (len(types) > 1 and not facts.casts):
        raise ModelError(
            f"C code cannot be generated for {step.name} on {' and '.join(sorted(types))}, expected "
            f"{' or '.join(sorted(facts.types))}: quantize the model with an operator that has an int8 kernel, or "
            "use the runtime tflm"
        )
    return facts
