"""Accuracy of class labels over batches, undefined for other outputs."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from edgeprune.model.class_labels import IGNORED, fit


class LabelAccuracy:
    """Fraction of labels that are the class of the largest output, over batches."""

    def __init__(self) -> None:
        self._right = self._counted = 0
        self._defined = True

    def add(self, outputs: Any, labels: Any) -> None:
        """Count a batch: logits (N, classes, ...) and integers (N, ...); otherwise the accuracy is undefined."""
        self._defined = (
            self._defined
            and isinstance(outputs, Tensor)
            and isinstance(labels, Tensor)
            and not labels.is_floating_point()
            and fit(labels.shape, outputs.shape)
        )
        if self._defined:
            self._right += int((outputs.argmax(1) == labels).sum())
            self._counted += int((labels != IGNORED).sum())

    @property
    def value(self) -> float | None:
        """Accuracy, 0 to 1; None if a batch has no class labels, or all labels are ignored."""
        return self._right / self._counted if self._defined and self._counted else None
