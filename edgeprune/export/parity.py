"""How far an exported model is from the network it came from, on the same samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeprune.errors import ParityError

_TINY = float(np.finfo(np.float32).tiny)

Outputs = NDArray[np.floating] | Sequence[NDArray[np.floating]]


@dataclass(frozen=True)
class Parity:
    """What a comparison found.

    Attributes:
        max_error: Largest absolute difference of any output value; infinite where one side is not finite.
        mean_error: Mean absolute difference over all output values.
        relative_error: Largest error of an output over its largest absolute reference value; of several the worst.
        top1_agreement: Share of samples whose largest value in the first output has the same index, 0..1; None where
            outputs are no logits of classes.
        samples: How many were compared.
    """

    max_error: float
    mean_error: float
    relative_error: float
    top1_agreement: float | None
    samples: int


def compare(reference: Outputs, got: Outputs, *, classes: bool = True) -> Parity:
    """Compare outputs of two implementations.

    Args:
        reference: One array (N, ...) or one for each output, of the network the model came from.
        got: The same of the exported model.
        classes: The first output is logits of classes.

    Raises:
        ParityError: Another number of outputs, or other shapes.
    """
    references, others = _as_list(reference), _as_list(got)
    shapes = [value.shape for value in references], [value.shape for value in others]
    if shapes[0] != shapes[1]:
        raise ParityError(f"the exported model gives outputs of shape {shapes[1]}, the network {shapes[0]}")
    wanted, given = _joined(references), _joined(others)
    finite = bool(np.isfinite(wanted).all() and np.isfinite(given).all())
    differences = np.abs(wanted - given) if finite else np.array([np.inf])
    first, other = (outputs[0].reshape(len(outputs[0]), -1) for outputs in (references, others))
    return Parity(
        max_error=float(differences.max(initial=0.0)),
        mean_error=float(differences.mean()),
        relative_error=max(map(_relative_error, references, others)) if finite else float("inf"),
        top1_agreement=float(np.mean(first.argmax(axis=1) == other.argmax(axis=1))) if classes else None,
        samples=len(references[0]),
    )


def check(parity: Parity, *, max_error: float, top1_agreement: float) -> None:
    """Hold ``parity`` against a target's limits.

    Args:
        parity: What was found.
        max_error: Largest allowed ``relative_error``.
        top1_agreement: Smallest allowed ``top1_agreement``, where there is one.

    Raises:
        ParityError: A limit is missed; says by how much.
    """
    missed = []
    if not parity.relative_error <= max_error:
        missed.append(
            f"an output is off by {parity.max_error:.3g}; relative to its largest value one is off by "
            f"{parity.relative_error:.3g}, parity.max_error allows {max_error:g}"
        )
    if parity.top1_agreement is not None and not parity.top1_agreement >= top1_agreement:
        missed.append(
            f"{parity.top1_agreement:.2%} of {parity.samples} samples get the same class; "
            f"parity.top1_agreement asks for {top1_agreement:.2%}"
        )
    if missed:
        raise ParityError("the exported model does not compute what the network computes: " + "; ".join(missed))


def _relative_error(reference: NDArray[np.floating], got: NDArray[np.floating]) -> float:
    wanted = reference.astype(np.float64)
    return float(np.abs(wanted - got).max(initial=0.0) / max(np.abs(wanted).max(initial=0.0), _TINY))


def _as_list(outputs: Outputs) -> list[NDArray[np.floating]]:
    return [outputs] if isinstance(outputs, np.ndarray) else list(outputs)


def _joined(outputs: list[NDArray[np.floating]]) -> NDArray[np.float64]:
    return np.concatenate([output.astype(np.float64).reshape(-1) for output in outputs])
