"""Budget checks of measured values, from a profile of the models of a bundle."""

from __future__ import annotations

from edgeprune import backends
from edgeprune.bundle.budget_check import compare_with_limit
from edgeprune.bundle.budget_report import BudgetReport, ConstraintReport
from edgeprune.bundle.manifest import Manifest, Platform
from edgeprune.config.budget import is_fraction
from edgeprune.config.budget_limits import BudgetConstraint
from edgeprune.errors import TargetError
from edgeprune.evidence import Evidence
from edgeprune.profile.profile_result import DENSE, ModelProfile, Profile

_ARENA = "arena_bytes"
_MICROCONTROLLER = "microcontroller"
"""Name of the machine that firmware reports; its architecture is not known."""
_ADVICE = "'edgeprune profile BUNDLE --device URI' measures on the board"


def check_limits(manifest: Manifest, profile: Profile, *, model: str | None = None) -> tuple[BudgetReport, ...]:
    """Check the constraints of a bundle, and its budget of ``arena_bytes``, with the values in ``profile``.

    The manifest checks the arena with an estimate. It is checked again if the profile has the arena.

    Args:
        manifest: Manifest of the bundle.
        profile: Profile of its models. Values from another device than the target count as estimates.
        model: SHA-256 of the shipped model. Defaults to that of the model of the bundle in the profile.
    """
    hashes = {entry.sha256 for entry in manifest.files.values()} if model is None else {model}
    shipped = next((one for one in profile.models.values() if one.sha256 in hashes), None)
    constraints = manifest.constraints
    if (
        shipped is not None
        and shipped.arena_bytes is not None
        and all(constraint.name != _ARENA for constraint in constraints)
    ):
        estimated = (report for report in manifest.budgets if report.name == _ARENA)
        constraints = (*constraints, *(ConstraintReport(name=report.name, limit=report.limit) for report in estimated))
    return tuple(_check_limit(constraint, manifest.platform, profile, shipped) for constraint in constraints)


def _check_limit(
    constraint: ConstraintReport, platform: Platform | None, profile: Profile, shipped: ModelProfile | None
) -> BudgetReport:
    dense = _dense(profile)
    base, _ = _figure(constraint.name, dense) if dense is not None else (None, "measured")
    value, kind = _figure(constraint.name, shipped) if shipped is not None else (None, "measured")
    if is_fraction(constraint.limit) and base is None:
        # A fraction of an unknown value has no absolute limit; no value is within a limit of 0.
        return compare_with_limit(
            constraint.name, 0.0, None, kind, note=f"it is a fraction of dense, which was not measured; {_ADVICE}"
        )
    limit = BudgetConstraint(constraint.name, constraint.limit).resolved(base)
    if value is None:
        return compare_with_limit(
            constraint.name, limit, None, kind, note=f"the shipped model was not measured; {_ADVICE}"
        )
    if kind == "measured" and not is_on_target(platform, profile):
        note = f"measured on {device_name(profile)}; {_ADVICE}"
        return compare_with_limit(constraint.name, limit, value, "estimated", required=constraint.require, note=note)
    return compare_with_limit(constraint.name, limit, value, kind, required=constraint.require)


def _dense(profile: Profile) -> ModelProfile | None:
    """Return the dense network on the device of the profile, if it was measured there now or earlier."""
    reference = profile.reference
    if DENSE in profile.models or reference is None:
        return profile.models.get(DENSE)
    return reference.models.get(DENSE) if is_same_device(profile, reference) else None


def is_same_device(one: Profile, other: Profile) -> bool:
    """Return whether two profiles have the same device, system and runtime."""
    fingerprint = one.device.get("fingerprint")
    return fingerprint is not None and fingerprint == other.device.get("fingerprint")


def is_on_target(platform: Platform | None, profile: Profile) -> bool:
    """Return whether processor and runtime of the profile are those of the target, if the bundle names them."""
    return platform is None or measured_elsewhere(platform, profile) is None


def device_name(profile: Profile) -> str:
    """Return the name of the device for users: ``this machine (x86_64)``, ``ssh://pi@kitchen (aarch64)``."""
    uri, machine = str(profile.device["uri"]), profile.device.get("machine")
    name = "this machine" if uri.startswith("local:") else uri
    return f"{name} ({machine})" if machine else name


def measured_elsewhere(platform: Platform, profile: Profile) -> str | None:
    """Return the measured processor or runtime if it differs from that of the target; else None."""
    machine, runtime = str(profile.device.get("machine")), str(profile.device.get("runtime"))
    if platform.architecture not in (None, machine) and machine != _MICROCONTROLLER:
        return machine
    return None if runtime in _reported_names(platform.runtime, runtime) else runtime


def _reported_names(runtime: str, measured: str) -> tuple[str, ...]:
    """Return the names under which devices report ``runtime``; ``measured`` if its backend is not installed."""
    try:
        return backends.backend(runtime).reported_names
    except TargetError:
        return (measured,)


def _figure(name: str, model: ModelProfile) -> tuple[float | None, Evidence]:
    """Return the value of ``name`` in the profile, and its provenance."""
    if name.endswith("_bytes"):
        memory = model.peak_memory_bytes if name == "memory_bytes" else model.arena_bytes
        return (None, "measured") if memory is None else (memory.value, memory.kind)
    return float(getattr(model.latency_ms, name.removeprefix("latency_ms."))), model.latency_ms.kind
