"""Verdicts on the limits of what is measured, from a profile of the bundle's models."""

from __future__ import annotations

from edgeprune import backends
from edgeprune.bundle.budget_check import verdict
from edgeprune.bundle.manifest import BudgetReport, ConstraintReport, Manifest, Platform
from edgeprune.config.budget import is_fraction
from edgeprune.config.budget_limits import BudgetConstraint
from edgeprune.errors import TargetError
from edgeprune.evidence import Evidence
from edgeprune.profile.profile_result import DENSE, ModelProfile, Profile

_ARENA = "arena_bytes"
_MICROCONTROLLER = "microcontroller"
"""Machine that firmware reports: its architecture is not known."""
_WAY_OUT = "'edgeprune profile BUNDLE --device URI' measures on the board"


def judge(manifest: Manifest, profile: Profile, *, model: str | None = None) -> tuple[BudgetReport, ...]:
    """Judge the gates of a bundle, and its budget of ``arena_bytes``, by ``profile``.

    The verdict on the arena in the manifest is on an estimate; it is judged again where the profile has the arena.

    Args:
        manifest: Of the bundle.
        profile: Of its models, on the target or on another device, which makes it an estimate.
        model: SHA-256 of the model that ships; None: that of the bundle which the profile knows.
    """
    known = {entry.sha256 for entry in manifest.files.values()} if model is None else {model}
    shipped = next((found for found in profile.models.values() if found.sha256 in known), None)
    gates = manifest.gates
    if shipped is not None and shipped.arena_bytes is not None and all(gate.name != _ARENA for gate in gates):
        estimated = (report for report in manifest.budgets if report.name == _ARENA)
        gates = (*gates, *(ConstraintReport(name=report.name, limit=report.limit) for report in estimated))
    return tuple(_judged(gate, manifest.platform, profile, shipped) for gate in gates)


def _judged(
    gate: ConstraintReport, platform: Platform | None, profile: Profile, shipped: ModelProfile | None
) -> BudgetReport:
    dense = _dense(profile)
    base, _ = _figure(gate.name, dense) if dense is not None else (None, "measured")
    value, kind = _figure(gate.name, shipped) if shipped is not None else (None, "measured")
    if is_fraction(gate.limit) and base is None:
        # A share of what is not known is no number; the least that can be said is that nothing is within it.
        return verdict(gate.name, 0.0, None, kind, note=f"it is a share of dense, which was not measured; {_WAY_OUT}")
    limit = BudgetConstraint(gate.name, gate.limit).resolved(base)
    if value is None:
        return verdict(gate.name, limit, None, kind, note=f"the model that ships was not measured; {_WAY_OUT}")
    if kind == "measured" and not is_on_target(platform, profile):
        note = f"measured on {device_name(profile)}; {_WAY_OUT}"
        return verdict(gate.name, limit, value, "estimated", required=gate.require, note=note)
    return verdict(gate.name, limit, value, kind, required=gate.require)


def _dense(profile: Profile) -> ModelProfile | None:
    """The dense network on the device of the profile, if it was measured there now or before."""
    earlier = profile.reference
    if DENSE in profile.models or earlier is None:
        return profile.models.get(DENSE)
    return earlier.models.get(DENSE) if is_same_device(profile, earlier) else None


def is_same_device(one: Profile, other: Profile) -> bool:
    """Whether two profiles are of the same device, system and runtime."""
    fingerprint = one.device.get("fingerprint")
    return fingerprint is not None and fingerprint == other.device.get("fingerprint")


def is_on_target(platform: Platform | None, profile: Profile) -> bool:
    """Whether the profile is of the target's kind of processor and runtime, as far as its bundle says what that is."""
    return platform is None or measured_elsewhere(platform, profile) is None


def device_name(profile: Profile) -> str:
    """The device of a profile for people: ``this machine (x86_64)``, ``ssh://pi@kitchen (aarch64)``."""
    uri, machine = str(profile.device["uri"]), profile.device.get("machine")
    name = "this machine" if uri.startswith("local:") else uri
    return f"{name} ({machine})" if machine else name


def measured_elsewhere(platform: Platform, profile: Profile) -> str | None:
    """The processor or runtime that was measured, if it is not the target's."""
    machine, runtime = str(profile.device.get("machine")), str(profile.device.get("runtime"))
    if platform.architecture not in (None, machine) and machine != _MICROCONTROLLER:
        return machine
    return None if runtime in _reported_names(platform.runtime, runtime) else runtime


def _reported_names(runtime: str, measured: str) -> tuple[str, ...]:
    """Names under which devices report ``runtime``; ``measured`` for a backend that is not installed here."""
    try:
        return backends.backend(runtime).reported_names
    except TargetError:
        return (measured,)


def _figure(name: str, model: ModelProfile) -> tuple[float | None, Evidence]:
    """Value of ``name`` in the profile, and its provenance."""
    if name.endswith("_bytes"):
        memory = model.peak_memory_bytes if name == "memory_bytes" else model.arena_bytes
        return (None, "measured") if memory is None else (memory.value, memory.kind)
    return float(getattr(model.latency_ms, name.removeprefix("latency_ms."))), model.latency_ms.kind
