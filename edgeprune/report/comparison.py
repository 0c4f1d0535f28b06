"""Comparison of two bundles or profiles: each change with its confidence interval, and its decision by the limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
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
from edgeprune.report.quantity_change import QuantityChange
from edgeprune.report.regression_limits import ACCURACY, RegressionLimit, default_rule

_DEVICE = ("machine", "cpu", "runtime")
_NOT_COMPARED = ("accuracy", "samples")
_Pair = tuple[ModelProfile, ModelProfile]


@dataclass(frozen=True)
class Comparison:
    """All changes from one bundle to another.

    Attributes:
        title: Recipe and target, or the two paths.
        metric: Name of the metric under the key ``accuracy``.
        changes: One for each quantity, in the order of the table.
        notes: Remarks on the whole comparison.
        undecided_fails: Whether a limit fails that the measurements do not decide.
    """

    title: str
    metric: str
    changes: tuple[QuantityChange, ...]
    notes: tuple[str, ...] = ()
    undecided_fails: bool = True

    @property
    def failed(self) -> tuple[QuantityChange, ...]:
        """Changes that are beyond their limit, with their whole interval."""
        return tuple(change for change in self.changes if change.failed)

    @property
    def undecided(self) -> tuple[QuantityChange, ...]:
        """Changes with a limit inside their interval."""
        return tuple(change for change in self.changes if change.decision == "undecided")

    @property
    def passed(self) -> bool:
        """Whether no limit fails."""
        return not self.failed and not (self.undecided and self.undecided_fails)


def compare(
    base: BundleContent,
    new: BundleContent,
    rules: Sequence[RegressionLimit] = (),
    *,
    undecided: Literal["fail", "pass"] = "fail",
) -> Comparison:
    """Compare two bundles, manifests or profiles.

    What slowed down everything is the machine: where the new profile holds the base's model too, measured in turn with
    the new one (``edgeprune profile --baseline``), the two are compared there; else latency is compared beside that of
    the dense network where both profiles hold the same file of it, from the same device and runtime.

    Args:
        base: The bundle before.
        new: The bundle that may take its place.
        rules: Limits for how much worse a quantity may become. Without any, every quantity has its default limit.
        undecided: Whether a limit of ``rules`` fails if it lies inside the 95 % interval of the change.

    Raises:
        InputError: They are of different networks or targets, or have nothing in common; or a rule names what they have
            not.
        MeasurementError: A rule names what cannot be compared.
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
            f"{base.path} and {new.path} have nothing in common to compare: give two bundles, manifests or profiles"
        )
    return Comparison(title, metric, tuple(_with_rules(changes, rules)), tuple(notes), undecided == "fail")


def _check_same(base: BundleContent, new: BundleContent, before: Manifest, now: Manifest) -> None:
    for what in ("recipe", "target", "metric"):
        one, other = getattr(before, what), getattr(now, what)
        if one != other:
            raise InputError(f"{base.path} is of the {what} '{one}', {new.path} of '{other}': they cannot be compared")


def _with_rules(changes: Sequence[QuantityChange], rules: Sequence[RegressionLimit]) -> Iterator[QuantityChange]:
    known = {change.key: change for change in changes}
    for rule in rules:
        change = known.get(rule.key)
        if change is None or change.base is None or change.new is None:
            raise InputError(f"--fail-on {rule}: there is no {rule.key} in both; there is {', '.join(known)}")
        if change.worse is None:
            raise MeasurementError(f"--fail-on {rule}: {rule.key} cannot be compared: {change.note}")
    by_key = {rule.key: rule for rule in rules}
    for change in changes:
        limit = by_key.get(change.key) if rules else default_rule(change.key, change.kind)
        yield replace(change, rule=limit)


def _counted(base: BundleContent, new: BundleContent, was: Manifest, is_: Manifest) -> Iterator[QuantityChange]:
    """Changes of the shipped networks by their manifests: counts, estimates and accuracy."""
    before, now = was.metrics.shipped, is_.metrics.shipped
    for name in type(now).model_fields:
        one, other = getattr(before, name), getattr(now, name)
        if name not in _NOT_COMPARED and one is not None and other is not None:
            yield _amount(name, one, other, "estimated" if name.startswith("predicted") else "exact")
    if was.microcontroller is not None and is_.microcontroller is not None:
        one, other = was.microcontroller.shipped, is_.microcontroller.shipped
        yield _amount("arena_bytes", one.arena.arena_bytes, other.arena.arena_bytes, "estimated")
        yield _amount("flash_bytes", one.flash.flash_bytes, other.flash.flash_bytes, "estimated")
    if before.accuracy is not None and now.accuracy is not None:
        yield accuracy_change(base, new)


def _amount(key: str, was: float, now: float, kind: Evidence) -> QuantityChange:
    """Something that is counted, or estimated from what is: it has no noise."""
    worse = _share(was, now)
    return QuantityChange(key, was, now, kind, worse, worse, worse)


def _measured(
    base: BundleContent, new: BundleContent, before: Profile | None, now: Profile, notes: list[str]
) -> Iterator[QuantityChange]:
    in_turn = _in_turn(base, new, before, now)
    if in_turn is not None:
        notes.append(f"Base and new were measured in turn on {now.device['uri']}.")
        yield from _pair("", now, now, in_turn, None)
        return
    if before is None:
        return
    pairs = dict(_pairs(base, new, before, now))
    if not pairs and not (before.models or now.models):
        return  # a microcontroller's, before a board answered
    if not pairs:
        raise InputError(
            f"{base.path} has the models {', '.join(before.models)}, {new.path} has {', '.join(now.models)}: "
            "none is in both"
        )
    drift = _drift(before, now)
    if drift is not None:
        notes.append(
            f"Latency is compared beside that of the dense network, the same file in both, which took "
            f"{100 * math.expm1(drift):+.1f} % of time."
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


def _in_turn(base: BundleContent, new: BundleContent, before: Profile | None, now: Profile) -> _Pair | None:
    """Shipped models of both, if the new profile also measured the model of the base."""
    known = set() if before is None else {model.sha256 for model in before.models.values()}
    if base.manifest is not None:
        known = {entry.sha256 for entry in base.manifest.files.values()}
    one = now.models.get(BASE)
    other = _shipped(new.manifest, now) or next(iter(_pruned(now).values()), None)
    if one is None or other is None or one.sha256 not in known or len(one.blocks_ms) != len(other.blocks_ms):
        return None
    return one, other


def _pairs(base: BundleContent, new: BundleContent, before: Profile, now: Profile) -> Iterator[tuple[str, _Pair]]:
    """The models that ship; without manifests every model of both, the pruned one or the only one without a prefix."""
    shipped = [_shipped(side.manifest, profile) for side, profile in ((base, before), (new, now))]
    if shipped[0] is not None and shipped[1] is not None:
        yield "", (shipped[0], shipped[1])
        return
    was, is_ = _pruned(before), _pruned(now)
    common = [name for name in is_ if name in was]
    first = PRUNED if PRUNED in common else common[0] if common else None
    for name in common:
        yield "" if name == first else f"{name}.", (was[name], is_[name])


def _pruned(profile: Profile) -> dict[str, ModelProfile]:
    """Those models that are not there for others to be held against."""
    return {name: model for name, model in profile.models.items() if name not in (DENSE, BASE)}


def _shipped(manifest: Manifest | None, profile: Profile) -> ModelProfile | None:
    if manifest is None:
        return None
    known = {entry.sha256 for entry in manifest.files.values()}
    return next((model for model in _pruned(profile).values() if model.sha256 in known), None)


def _difference(before: Profile, now: Profile, one: ModelProfile, other: ModelProfile) -> str:
    """Reasons why two measurements cannot be compared; empty if there are none."""
    conditions = [(name, before.device.get(name), now.device.get(name)) for name in _DEVICE]
    conditions += [("threads", one.threads, other.threads), ("kind", one.latency_ms.kind, other.latency_ms.kind)]
    problems = [f"{name} was {was}, is {is_}" for name, was, is_ in conditions if was != is_]
    for which, profile in (("the base", before), ("the new", now)):
        if profile.validity is not None and not profile.validity.valid:
            problems.append(f"{which} measurement is not valid: {', '.join(profile.validity.problems)}")
    return "; ".join(problems)


def _drift(before: Profile, now: Profile) -> float | None:
    """log(new / base) of the dense network's median; None unless it is the same file on the same runtime."""
    one, other = before.models.get(DENSE), now.models.get(DENSE)
    if one is None or other is None or one.sha256 != other.sha256 or _difference(before, now, one, other):
        return None
    if before.device.get("runtime_version") != now.device.get("runtime_version"):
        return None  # another version may well be slower with every network
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
    found = noise(one.blocks_ms, other.blocks_ms, STATISTICS[name])
    width = found.half_width()
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
        repeats_needed=lambda limit: found.blocks_to_decide(abs(change - math.log1p(limit))),
    )


def _memory(key: str, was: float, now: float, kinds: set[Any], elsewhere: str) -> QuantityChange:
    kind: Evidence = next(iter(kinds))
    if elsewhere or len(kinds) > 1:
        return QuantityChange(key, was, now, kind, note=elsewhere or f"one is {' and one '.join(sorted(kinds))}")
    worse = _share(was, now)
    return QuantityChange(key, was, now, kind, worse, worse - MEMORY_NOISE, worse + MEMORY_NOISE)


def _share(base: float, new: float) -> float:
    """How much more, as a share of ``base``."""
    return new / base - 1 if base else (math.inf if new else 0.0)
