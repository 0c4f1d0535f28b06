"""Criterion by linear discriminant analysis: the separation of classes by a unit."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from edgeprune.criteria.base import Aggregated, Network, register
from edgeprune.errors import InputError
from edgeprune.model.class_labels import IGNORED
from edgeprune.statistics.accumulators import stream, views_of
from edgeprune.statistics.moments import ClassMoments

_LEAST = 1e-6
"""Minimum of the scatter within classes, as a fraction of the total. It would be 0 with one sample in each class."""


@register
class Lda(Aggregated):
    """Scatter between classes over scatter within classes of the mean activation of samples (Fisher's ratio).

    ``sum_c n_c * (m_c - m)^2 / sum_c sum_{s in c} (x_s - m_c)^2`` with ``x_s`` the mean over the positions of sample s.
    A low score means that the unit does not separate classes. The criterion needs one integer class label for each
    sample and at least two classes. Samples with the ``ignore_index`` of torch (-100) are skipped.
    Fisher (1936); Tian, Arbel and Clark, "Deep LDA-Pruned Nets for Efficient Facial Gender Classification" (2017).
    """

    name = "lda"
    needs = "labels"

    def score(self, network: Network) -> Tensor:
        class_moments = [(view, ClassMoments()) for view in views_of(network.units)]
        classes: set[int] = set()

        def read(labels: Any) -> None:
            classes_of_batch = _class_labels(labels)
            classes.update(torch.unique(classes_of_batch[classes_of_batch != IGNORED]).tolist())
            for _, one in class_moments:
                one.labels = classes_of_batch

        stream(class_moments, network.units, network.data, labels=read)
        if len(classes) < 2:
            raise InputError(
                f"criterion: lda needs samples of at least two classes, but the labels have {sorted(classes)}: use "
                "data with more classes, or set another prune.criterion"
            )
        return self._together(network.units, ((view.units, _ratio(one)) for view, one in class_moments))


def _class_labels(labels: Any) -> Tensor:
    if not isinstance(labels, Tensor) or labels.ndim != 1 or labels.is_floating_point() or labels.is_complex():
        actual = (
            f"{labels.dtype} of shape {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
        )
        raise InputError(
            f"criterion: lda needs integer class labels of shape (samples,), got {actual}: set another prune.criterion"
        )
    class_labels = labels.to("cpu", torch.long)
    if bool(((class_labels < 0) & (class_labels != IGNORED)).any()):
        raise InputError(
            f"criterion: lda needs class labels of at least 0, or {IGNORED} for ignored samples, got "
            f"{int(class_labels[class_labels != IGNORED].min())}: correct them in the data function"
        )
    return class_labels


def _ratio(moments: ClassMoments) -> Tensor:
    between, within = moments.between, moments.within
    least = (_LEAST * (between + within)).clamp(min=torch.finfo(torch.float64).tiny)
    return between / torch.maximum(within, least)
