"""Comparison of two bundles or profiles: changes with confidence intervals, and their decisions by the limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

from edgeprune.bundle.bundle_reader import BundleContent
from edgeprune.bundle.manifest import Manifest
from edgeprune.errors import InputError, MeasurementError
from edgeprune.evidence import Evidence
from edgeprune.profile.latency_noise import (
    MEMORY_NOISE,
    STATISTICS,
    Blocks,
    Spread,
    Statistic,
    paired_spread,
    spread,
)  # fmt: skip
from edgeprune.profile.profile_result import BASE, DENSE, PRUNED, ModelProfile, Profile
from edgeprune.report.accuracy_change import accuracy_change
from edgeprune.report.comparison_result import Comparison
from edgeprune.report.quantity_change import QuantityChange
from edgeprune.report.regression_limits import ACCURACY, RegressionLimit, default_rule

_DEVICE = ("machine", "cpu", "runtime")
_NOT_COMPARED = ("accuracy", "samples")
_Pair = tuple[ModelProfile, ModelProfile]


def compare(
    base: BundleContent,
    new: BundleContent,
    rules: Sequence[RegressionLimit] = (),
    *,
    undecided: Literal["fail", "pass"] = "fail",
) -> Comparison:
    """Compare two bundles, manifests or profiles.

    Latency is corrected for changes of the device's speed:

    1. If the new profile also contains the base model, interleaved with the new one (``edgeprune profile --baseline``),
       both values come from that profile.
    2. Otherwise, if both profiles contain the same file of the dense network on the same device and runtime, latency is
       compared relative to that of the dense network.

    Args:
        base: Base bundle.
        new: Bundle that may replace the base.
        rules: Limits for how much worse a quantity may become. Without any, every quantity has its default limit.
        undecided: Whether a limit of ``rules`` fails if it lies inside the 95 % interval of the change.

    Raises:
        InputError: The bundles have different networks or targets, or nothing in common; or a rule names a quantity
            that is not in both.
        MeasurementError: A rule names a quantity that cannot be compared.
    """
    notes: list[str] = []
    changes: list[QuantityChange] = []
    title, metric = f"{new.path} against {base.path}", ACCURACY
    if base.manifest is not None and new.manifest is not None:
        _check_same(base, new, base.manifest, new.manifest)
        title, metric = f"{new.manifest.recipe} for {new.manifest.target}", new.manifest.metric
        changes += _counted(base, new, base.manifest, new.manifest)
    before, now = (
        None if side.profile is None else Profile.from_json(side.profile, where=side.path) for side in (base, new)
    )
    if now is not None:
        changes += _measured(base, new, before, now, notes)
    if not changes:
        raise InputError(
            f"{base.path} and {new.path} have no common values to compare: give two bundles, manifests or profiles"
        )
    return Comparison(title, metric, tuple(_with_rules(changes, rules)), tuple(notes), undecided == "fail")


def _check_same(base: BundleContent, new: BundleContent, before: Manifest, now: Manifest) -> None:
    for field in ("recipe", "target", "metric"):
        one, other = getattr(before, field), getattr(now, field)
        if one != other:
            raise InputError(
                f"{base.path} has the {field} '{one}', but {new.path} has '{other}': give two bundles with the same "
                f"{field}"
            )


def _with_rules(changes: Sequence[QuantityChange], rules: Sequence[RegressionLimit]) -> Iterator[QuantityChange]:
    by_name = {change.key: change for change in changes}
    for rule in rules:
        change = by_name.get(rule.key)
        if change is None or change.base is None or change.new is None:
            raise InputError(
                f"--fail-on {rule}: {rule.key} does not exist in both bundles, must be one of {', '.join(by_name)}"
            )
        if change.worse is None:
            raise MeasurementError(f"--fail-on {rule}: {rule.key} cannot be compared: {change.note}")
    by_key = {rule.key: rule for rule in rules}
    for change in changes:
        limit = by_key.get(change.key) if rules else default_rule(change.key, change.kind)
        yield replace(change, rule=limit)


def _counted(
    base: BundleContent, new: BundleContent, base_manifest: Manifest, new_manifest: Manifest
) -> Iterator[QuantityChange]:
    """Yield the changes of the shipped networks in the manifests: counts, estimates and accuracy."""
    before, now = base_manifest.metrics.shipped, new_manifest.metrics.shipped
    for name in type(now).model_fields:
        one, other = getattr(before, name), getattr(now, name)
        if name not in _NOT_COMPARED and one is not None and other is not None:
            yield _amount(name, one, other, "estimated" if name.startswith("predicted") else "exact")
    if base_manifest.microcontroller is not None and new_manifest.microcontroller is not None:
        one, other = base_manifest.microcontroller.shipped, new_manifest.microcontroller.shipped
        yield _amount("arena_bytes", one.arena.arena_bytes, other.arena.arena_bytes, "estimated")
        yield _amount("flash_bytes", one.flash.flash_bytes, other.flash.flash_bytes, "estimated")
    if before.accuracy is not None and now.accuracy is not None:
        yield accuracy_change(base, new)


def _amount(key: str, was: float, now: float, kind: Evidence) -> QuantityChange:
    """Return the change of a counted or estimated value, which has no noise."""
    worse = _relative_increase(was, now)
    return QuantityChange(key, was, now, kind, worse, worse, worse)


def _measured(
    base: BundleContent, new: BundleContent, before: Profile | None, now: Profile, notes: list[str]
) -> Iterator[QuantityChange]:
    interleaved = _interleaved_pair(base, new, before, now)
    if interleaved is not None:
        notes.append(f"Base and new were measured in alternating blocks on {now.device['uri']}.")
        yield from _pair("", now, now, interleaved, None)
        return
    if before is None:
        return
    pairs = dict(_pairs(base, new, before, now))
    if not pairs and not (before.models or now.models):
        return  # the profile of a microcontroller without measurements on a board
    if not pairs:
        raise InputError(
            f"{base.path} has the models {', '.join(before.models)}, but {new.path} has {', '.join(now.models)}: "
            "give two profiles with a common model"
        )
    drift = _drift(before, now)
    if drift is not None:
        notes.append(
            f"Latency is corrected for the speed of the device: the dense network, the same file in both, took "
            f"{100 * math.expm1(drift):+.1f} % time."
        )
    for prefix, pair in pairs.items():
        yield from _pair(prefix, before, now, pair, drift)


def _pair(prefix: str, before: Profile, now: Profile, pair: _Pair, drift: float | None) -> Iterator[QuantityChange]:
    one, other = pair
    elsewhere = _difference(before, now, one, other)
    noise = paired_spread if before is now else spread
    for name in STATISTICS:
        yield _latency(f"{prefix}latency_ms.{name}", one, other, elsewhere=elsewhere, drift=drift, noise=noise)
    if one.peak_memory_bytes is not None and other.peak_memory_bytes is not None:
        values = one.peak_memory_bytes.value, other.peak_memory_bytes.value
        kinds = {one.peak_memory_bytes.kind, other.peak_memory_bytes.kind}
        yield _memory(f"{prefix}memory_bytes", *values, kinds, elsewhere)


def _interleaved_pair(base: BundleContent, new: BundleContent, before: Profile | None, now: Profile) -> _Pair | None:
    """Return the shipped models of both bundles, if the new profile contains both; else None."""
    base_hashes = set() if before is None else {model.sha256 for model in before.models.values()}
    if base.manifest is not None:
        base_hashes = {entry.sha256 for entry in base.manifest.files.values()}
    base_model = now.models.get(BASE)
    new_model = _shipped(new.manifest, now) or next(iter(_pruned(now).values()), None)
    if (
        base_model is None
        or new_model is None
        or base_model.sha256 not in base_hashes
        or len(base_model.blocks_ms) != len(new_model.blocks_ms)
    ):
        return None
    return base_model, new_model


def _pairs(base: BundleContent, new: BundleContent, before: Profile, now: Profile) -> Iterator[tuple[str, _Pair]]:
    """Yield the pairs of models to compare, with the prefix of their keys.

    With manifests, these are the shipped models. Without them, these are all common models, and the keys of the pruned
    model, or else of the first one, have no prefix.
    """
    shipped = [_shipped(side.manifest, profile) for side, profile in ((base, before), (new, now))]
    if shipped[0] is not None and shipped[1] is not None:
        yield "", (shipped[0], shipped[1])
        return
    base_models, new_models = _pruned(before), _pruned(now)
    common = [name for name in new_models if name in base_models]
    first = PRUNED if PRUNED in common else common[0] if common else None
    for name in common:
        yield "" if name == first else f"{name}.", (base_models[name], new_models[name])


def _pruned(profile: Profile) -> dict[str, ModelProfile]:
    """Return all models except the reference models, which are the dense network and the base."""
    return {name: model for name, model in profile.models.items() if name not in (DENSE, BASE)}


def _shipped(manifest: Manifest | None, profile: Profile) -> ModelProfile | None:
    if manifest is None:
        return None
    hashes = {entry.sha256 for entry in manifest.files.values()}
    return next((model for model in _pruned(profile).values() if model.sha256 in hashes), None)


def _difference(before: Profile, now: Profile, one: ModelProfile, other: ModelProfile) -> str:
    """Return the reasons why two measurements cannot be compared; empty if they can."""
    conditions = [(name, before.device.get(name), now.device.get(name)) for name in _DEVICE]
    conditions += [("threads", one.threads, other.threads), ("kind", one.latency_ms.kind, other.latency_ms.kind)]
    problems = [f"{name} was {was}, is {is_}" for name, was, is_ in conditions if was != is_]
    for which, profile in (("the base", before), ("the new", now)):
        if profile.validity is not None and not profile.validity.valid:
            problems.append(f"{which} measurement is not valid: {', '.join(profile.validity.problems)}")
    return "; ".join(problems)


def _drift(before: Profile, now: Profile) -> float | None:
    """Return log(new / base) of the dense network's median; None unless both are the same file on the same runtime."""
    one, other = before.models.get(DENSE), now.models.get(DENSE)
    if one is None or other is None or one.sha256 != other.sha256 or _difference(before, now, one, other):
        return None
    if before.device.get("runtime_version") != now.device.get("runtime_version"):
        return None  # another version may be slower for every network
    return math.log(other.latency_ms.p50 / one.latency_ms.p50)


def _latency(
    key: str,
    one: ModelProfile,
    other: ModelProfile,
    *,
    elsewhere: str,
    drift: float | None,
    noise: Callable[[Blocks, Blocks, Statistic], Spread],
) -> QuantityChange:
    name = key.rpartition(".")[2]
    was, now = float(getattr(one.latency_ms, name)), float(getattr(other.latency_ms, name))
    kind: Evidence = other.latency_ms.kind
    if elsewhere:
        return QuantityChange(key, was, now, kind, note=elsewhere)
    change = math.log(now / was) - (drift or 0.0)
    spread_of_blocks = noise(one.blocks_ms, other.blocks_ms, STATISTICS[name])
    width = spread_of_blocks.half_width()
    if math.isinf(width):
        return QuantityChange(
            key, was, now, kind, note="the noise of a single block is not known: measure at least 2 blocks"
        )
    low, high = math.expm1(change - width), math.expm1(change + width)
    return QuantityChange(
        key,
        was,
        now,
        kind,
        math.expm1(change),
        low,
        high,
        repeats="blocks",
        repeats_needed=lambda limit: spread_of_blocks.blocks_to_decide(abs(change - math.log1p(limit))),
    )


def _memory(key: str, was: float, now: float, kinds: set[Any], elsewhere: str) -> QuantityChange:
    kind: Evidence = next(iter(kinds))
    if elsewhere or len(kinds) > 1:
        return QuantityChange(key, was, now, kind, note=elsewhere or f"one is {' and one '.join(sorted(kinds))}")
    worse = _relative_increase(was, now)
    return QuantityChange(key, was, now, kind, worse, worse - MEMORY_NOISE, worse + MEMORY_NOISE)


def _relative_increase(base: float, new: float) -> float:
    """Return the increase as a fraction of ``base``."""
    return new / base - 1 if base else (math.inf if new else 0.0)
