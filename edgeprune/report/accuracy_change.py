"""Change of accuracy between two bundles, compared sample by sample if both were evaluated on the same samples."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

from edgeprune.bundle import evaluation
from edgeprune.bundle.bundle_reader import BundleContent
from edgeprune.bundle.evaluation import Evaluation
from edgeprune.bundle.manifest import Manifest
from edgeprune.profile.latency_noise import student_t
from edgeprune.report import accuracy_intervals
from edgeprune.report.quantity_change import QuantityChange
from edgeprune.report.regression_limits import ACCURACY

_MOST_BATCHES = 1 << 24


def accuracy_change(base: BundleContent, new: BundleContent) -> QuantityChange:
    """Return the change of the shipped models' accuracy, or of the metric that replaces it, with its interval.

    The first applicable method determines the interval:

    1. Both bundles contain the same model file with the same accuracy: the change is exactly 0.
    2. Both contain results on the same samples. For one class a sample, samples are paired
       (``accuracy_intervals.paired_drop``). Otherwise, the losses of batches are paired (Student's t).
    3. The metric is accuracy: samples are treated as independent (``accuracy_intervals.independent_drop``). For several
       labels a sample, the fraction of correct labels lies between 0 and 1, so its variance is at most that of a single
       label, and the interval is conservative.
    4. Any other metric: the interval is unknown, and only the values are compared.

    Args:
        base: Base bundle, with an accuracy in its manifest.
        new: New bundle, with an accuracy in its manifest.
    """
    assert base.manifest is not None
    assert new.manifest is not None
    base_manifest, new_manifest = base.manifest, new.manifest
    before, now = base_manifest.metrics.shipped, new_manifest.metrics.shipped
    assert before.accuracy is not None
    assert now.accuracy is not None
    worse = before.accuracy - now.accuracy
    change = QuantityChange(ACCURACY, before.accuracy, now.accuracy, "exact", worse, worse, worse)
    if (
        not worse
        and before.samples == now.samples
        and _models(base_manifest)
        and _models(base_manifest) == _models(new_manifest)
    ):
        return replace(change, note="both bundles contain the same model")
    base_evaluation, new_evaluation = base.evaluation, new.evaluation
    paired = (
        base_evaluation is not None and new_evaluation is not None and _same_samples(base_evaluation, new_evaluation)
    )
    if paired and base_evaluation is not None and new_evaluation is not None:
        if base_evaluation.correct is not None:
            return _paired_classes(change, base_evaluation, new_evaluation)
        if len(base_evaluation.losses or ()) > 1:
            return _paired_losses(change, base_evaluation, new_evaluation)
    if new_manifest.metric == ACCURACY and before.samples and now.samples:
        return _independent(change, before.samples, now.samples, _why_not_paired(base, new))
    return replace(
        change, note=f"the confidence interval of {new_manifest.metric} is not known: only the values are compared"
    )


def _paired_classes(change: QuantityChange, base: Evaluation, new: Evaluation) -> QuantityChange:
    samples, before, now = base.samples, base.bits, new.bits
    only_base, only_new = (before & ~now).bit_count(), (now & ~before).bit_count()
    low, high = accuracy_intervals.paired_drop(only_base, only_new, samples)

    def interval(count: float) -> accuracy_intervals.Interval:
        return accuracy_intervals.paired_drop(only_base * count / samples, only_new * count / samples, count)

    return replace(
        change,
        low=low,
        high=high,
        note=f"of the same {samples:,} samples, only base classifies {only_base:,} correctly, and only new "
        f"{only_new:,} (McNemar's test: p = {accuracy_intervals.mcnemar(only_base, only_new):.2g})",
        repeats="samples",
        repeats_needed=lambda limit: accuracy_intervals.samples_to_decide(interval, samples, limit),
    )


def _independent(change: QuantityChange, base_samples: int, new_samples: int, why: str) -> QuantityChange:
    assert change.base is not None
    assert change.new is not None
    before, now = change.base, change.new
    low, high = accuracy_intervals.independent_drop(before, base_samples, now, new_samples)
    return replace(
        change,
        low=low,
        high=high,
        note=f"compared as independent samples, which is less sensitive: {why}",
        repeats="samples",
        repeats_needed=lambda limit: accuracy_intervals.samples_to_decide(
            lambda count: accuracy_intervals.independent_drop(before, count, now, count),
            max(base_samples, new_samples),
            limit,
        ),
    )


def _paired_losses(change: QuantityChange, base: Evaluation, new: Evaluation) -> QuantityChange:
    """Return the change with a Student's t interval over the differences of batches; all batches have equal weight."""
    assert change.worse is not None
    worse, size = change.worse, base.batch_size or 1
    differences = [now - before for before, now in zip(base.losses or (), new.losses or (), strict=True)]
    spread = statistics.stdev(differences)

    def width(batches: int) -> float:
        return student_t(batches - 1) * spread / math.sqrt(batches)

    def needed(limit: float) -> int | None:
        batches = len(differences)
        while batches < _MOST_BATCHES and width(batches) > abs(worse - limit):
            batches += max(1, batches // 100)
        return batches * size if batches < _MOST_BATCHES else None

    half = width(len(differences))
    return replace(
        change,
        low=worse - half,
        high=worse + half,
        note=f"measured on {len(differences)} {'of' if size == 1 else 'batches of'} the same samples",
        repeats="samples",
        repeats_needed=needed,
    )


def _models(manifest: Manifest) -> dict[str, str]:
    """Return the SHA-256 of all model files by name."""
    return {
        name: entry.sha256
        for name, entry in manifest.files.items()
        if name.startswith("model") and name.endswith((".onnx", ".tflite"))
    }


def _same_samples(base: Evaluation, new: Evaluation) -> bool:
    shapes = [(one.split_sha256, one.samples, one.batch_size, one.correct is None) for one in (base, new)]
    return shapes[0] == shapes[1]


def _why_not_paired(base: BundleContent, new: BundleContent) -> str:
    for side in (base, new):
        if side.evaluation is None:
            return f"{side.path} has no {evaluation.NAME}"
    if base.evaluation is not None and new.evaluation is not None and _same_samples(base.evaluation, new.evaluation):
        return "a single sample has no variance"
    return "the two bundles were evaluated on different samples"
