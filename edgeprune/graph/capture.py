"""Capture a network as one ATen graph whose parameters keep their state-dict names."""

from __future__ import annotations

import inspect
import io
import linecache
import logging
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree

from edgeprune.errors import CaptureError, ModelError
from edgeprune.graph.constant_folding import fold_constants
from edgeprune.graph.graph_operators import is_operator_call, is_random
from edgeprune.graph.inlining import inline_blocks
from edgeprune.graph.module_stacks import name_sliced_modules
from edgeprune.model.eval_mode import preserve_modes
from edgeprune.model.user_code_guard import user_code

logger = logging.getLogger(__name__)

Example = Sequence[Any] | Mapping[str, Any]
_TORCH = Path(torch.__file__).parent
_CONTROL_FLOW = (
    "Control flow that depends on the values of tensors (if, while, .item()) cannot be captured: use torch.where or "
    "torch.cond there, or prune the part of the network around it."
)
_PACKED = (
    "Packed sequences cannot be captured, as their layout depends on the lengths in a batch: pass padded sequences to "
    "the recurrent layer, and mask its outputs."
)


@dataclass(frozen=True)
class Program:
    """Captured network.

    Attributes:
        module: Captured graph, with references to the tensors of the network, not copies.
        args: Positional inputs of the example.
        kwargs: Keyword inputs of the example.
        sizes: Size in the example of each free symbol of the graph (the batch size, if it is dynamic).
    """

    module: fx.GraphModule
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    sizes: Mapping[Any, int]
    state: frozenset[str]
    """Names of the parameters and buffers of the network. Other tensors of the graph are constants of its forward."""
    training: Program | None = None
    """Network in training mode, if it uses parameters that evaluation mode does not use (auxiliary heads)."""

    @property
    def graph(self) -> fx.Graph:
        return self.module.graph

    @property
    def dynamic_batch(self) -> bool:
        """Whether the program accepts any batch size."""
        return bool(self.sizes)

    def run(self, module: nn.Module) -> Any:
        """Return the outputs of ``module`` for the example, without gradients."""
        with torch.no_grad():
            return module(*self.args, **self.kwargs)

    def attribute(self, node: fx.Node) -> Any:
        """Return the value of a ``get_attr`` node: a tensor, or the body of a higher-order operator."""
        value: Any = self.module
        for part in str(node.target).split("."):
            value = getattr(value, part)
        return value

    def tensor(self, node: fx.Node) -> Tensor:
        """Return the parameter, buffer or constant of a ``get_attr`` node."""
        value = self.attribute(node)
        assert isinstance(value, Tensor)
        return value

    def constant(self, node: fx.Node) -> Tensor | None:
        """Return the value of a node that does not depend on inputs, such as a table of indices, otherwise None."""
        if node.op == "get_attr":
            value = self.tensor(node)
            return None if isinstance(value, nn.Parameter) else value.clone()
        if not is_operator_call(node) or is_random(node):
            return None
        values: dict[fx.Node, Any] = {}
        for source in node.all_input_nodes:
            is_tensor = isinstance(source.meta.get("val"), Tensor)
            values[source] = self.constant(source) if is_tensor else self.concrete(source)
            if values[source] is None:
                return None
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
        result = node.target(*args, **kwargs)  # type: ignore[operator]
        return result if isinstance(result, Tensor) else None

    def concrete(self, value: Any) -> Any:
        """Return ``value`` with each symbolic size, or node that computes one, replaced by its size in the example."""
        if isinstance(value, fx.Node) and not isinstance(value.meta.get("val"), (Tensor, list, tuple, type(None))):
            value = value.meta["val"]
        if type(value) is torch.SymInt:  # mypy takes SymInt for no int
            return int(value.node.expr.xreplace(self.sizes))
        if isinstance(value, (list, tuple)):
            return [self.concrete(item) for item in value]
        return value

    def shape(self, node: fx.Node) -> tuple[int, ...] | None:
        """Return the shape of a tensor node for the example, or None if the node is not a single tensor."""
        value = node.meta.get("val")
        return tuple(self.concrete(size) for size in value.shape) if isinstance(value, Tensor) else None


def capture(model: nn.Module, example: Example) -> Program:
    """Capture ``model`` in evaluation mode. Its mode and tensors are not changed.

    The first dimension of the inputs is dynamic if the network supports it.

    Args:
        model: Network.
        example: Tuple of positional inputs, or mapping of keyword inputs.

    Raises:
        ModelError: The network fails on the example.
        CaptureError: ``torch.export`` cannot express the network. The message names the operator and the source line.
    """
    args, kwargs = ((), dict(example)) if isinstance(example, Mapping) else (tuple(example), {})
    with evaluating(model):
        failure = f"the network fails on the example input {_describe(args, kwargs)}"
        with user_code(failure, ModelError), torch.no_grad():
            model(*args, **kwargs)
        program = _capture_dynamic(model, args, kwargs)
        if program is None:
            logger.info("the network fixes its batch size; captured for the batch of the example only")
            program = _export(model, args, kwargs, args, kwargs, dynamic=False)
    unused = {name for name, _ in model.named_parameters()} - {
        str(node.target) for node in program.graph.nodes if node.op == "get_attr" and node.users
    }
    return replace(program, training=_capture_training(model, args, kwargs)) if unused else program


def _capture_training(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Program | None:
    with _mode(model, training=True):
        program = _capture_dynamic(model, args, kwargs)
    if program is None:
        logger.warning(
            "%s cannot be captured in training mode, so parameters that only training uses are not pruned",
            type(model).__name__,
        )
    return program


def _capture_dynamic(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Program | None:
    """Capture with a dynamic first dimension of all inputs. Return None if the network fixes that dimension."""
    tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    if not tensors or any(tensor.ndim == 0 for tensor in tensors) or len({tensor.shape[0] for tensor in tensors}) > 1:
        return None
    # A size of 1 would be taken for a constant, so that a single sample is captured as two.
    doubled_args, doubled_kwargs = pytree.tree_map(
        lambda leaf: torch.cat([leaf, leaf]) if isinstance(leaf, Tensor) and leaf.shape[0] == 1 else leaf,
        (args, dict(kwargs)),
    )
    try:
        program = _export(model, doubled_args, doubled_kwargs, args, kwargs, dynamic=True)
    except CaptureError:
        return None
    return program if program.sizes else None


def _export(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    example_args: tuple[Any, ...],
    example_kwargs: Mapping[str, Any],
    *,
    dynamic: bool,
) -> Program:
    shapes = None
    if dynamic:
        free = {0: torch.export.Dim.AUTO}
        shapes = pytree.tree_map(lambda leaf: free if isinstance(leaf, Tensor) else None, (args, dict(kwargs)))
        shapes = tuple(shapes[0]) if args else shapes[1]
    try:
        # Without gradients, a no_grad block in the network stays part of the one graph.
        with torch.no_grad(), _quiet():
            exported = torch.export.export(model, args, dict(kwargs), dynamic_shapes=shapes, strict=False)
    except Exception as error:
        raise CaptureError(_explain(error, model)) from error
    module = exported.module()
    name_sliced_modules(module, model)
    inline_blocks(module)
    _drop_checks(module)
    state = frozenset(name for name, _ in named_tensors(model))
    fold_constants(module, state)
    leaves = pytree.tree_leaves((example_args, dict(example_kwargs)))
    return Program(module, example_args, dict(example_kwargs), _symbols(module, leaves), state)


def named_tensors(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Return all parameters and buffers with their names. A shared tensor is listed under each of its names."""
    parameters = model.named_parameters(remove_duplicate=False)
    return [*parameters, *model.named_buffers(remove_duplicate=False)]


def _symbols(module: fx.GraphModule, leaves: Sequence[Any]) -> dict[Any, int]:
    """Return the symbols of the first dimensions of the inputs, with their example sizes. Empty if one is fixed."""
    symbols: dict[Any, int] = {}
    inputs = [node for node in module.graph.nodes if node.op == "placeholder"]
    for node, leaf in zip(inputs, leaves, strict=True):
        if isinstance(leaf, Tensor):
            size: Any = node.meta["val"].shape[0] if leaf.ndim else 0
            # One that the network fixed while it was traced is a SymInt still, without a symbol.
            if not isinstance(size, torch.SymInt) or not size.node.expr.free_symbols:
                return {}
            symbols[size.node.expr] = leaf.shape[0]
    return symbols


@contextmanager
def _quiet() -> Iterator[None]:
    """Redirect warnings and prints of the exporter to the log, because they do not concern the network."""
    printed = io.StringIO()
    torch_logger = logging.getLogger("torch")
    level = torch_logger.level
    torch_logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(record=True) as caught, redirect_stdout(printed), redirect_stderr(printed):
            warnings.simplefilter("always")
            yield
    finally:
        torch_logger.setLevel(level)
    for line in (*(str(warning.message) for warning in caught), *printed.getvalue().splitlines()):
        logger.debug("torch.export: %s", line)


def _drop_checks(module: fx.GraphModule) -> None:
    """Remove the run-time guards of the exporter, which would fix the sizes that pruning changes."""
    for node in reversed(module.graph.nodes):
        guard = node.op == "call_module" and str(node.target).startswith("_guards")
        check = node.op == "call_function" and getattr(node.target, "__name__", "").startswith("_assert")
        if (guard or check) and not node.users:
            module.graph.erase_node(node)
    module._forward_pre_hooks.clear()  # noqa: SLF001
    module.recompile()


def evaluating(model: nn.Module) -> AbstractContextManager[None]:
    """Context with evaluation mode and without the fused attention of torch. Both are restored afterwards."""
    return _mode(model, training=False)


@contextmanager
def _mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    fused = torch.backends.mha.get_fastpath_enabled()
    with preserve_modes(model):
        model.train(training)
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fused)


def _describe(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    def one(value: Any) -> str:
        return f"{tuple(value.shape)} {value.dtype}" if isinstance(value, Tensor) else repr(value)

    return ", ".join([*map(one, args), *(f"{name}={one(value)}" for name, value in kwargs.items())])


def _explain(error: Exception, model: nn.Module) -> str:
    """Return the cause of a failed capture, and the source line of the network where it failed."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_user_code(frame.filename)]
    reason = str(error).strip().splitlines()
    cause = f"{type(error).__name__}: {reason[0]}" if reason else type(error).__name__
    message = f"torch.export cannot capture {type(model).__name__}: {cause}"
    if frames:
        line = frames[-1].line or linecache.getline(frames[-1].filename, frames[-1].lineno or 0).strip()
        message += f"\n  at {frames[-1].filename}:{frames[-1].lineno}, in {frames[-1].name}: {line}"
    values = [value for frame, _ in traceback.walk_tb(error.__traceback__) for value in frame.f_locals.values()]
    is_packed = any(isinstance(value, PackedSequence) for value in values)
    return f"{message}\n  {_PACKED if is_packed else _CONTROL_FLOW}"


def _is_user_code(filename: str) -> bool:
    package = Path(inspect.getfile(capture)).parent.parent
    path = Path(filename)
    return not filename.startswith("<") and _TORCH not in path.parents and package not in path.parents
