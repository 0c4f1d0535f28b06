"""Checks before a latency table is measured: device, processor, runtime and its version."""

from __future__ import annotations

from edgeprune import backends
from edgeprune.backends.runner_scripts import RunnerScripts
from edgeprune.config import Target
from edgeprune.cost.latency_table import allowed_versions, is_version_in
from edgeprune.devices import Capability, Device
from edgeprune.errors import InputError, TargetError


def check_device(device: Device) -> None:
    """Check that a device can be calibrated.

    Raises:
        InputError: The device does not run programs, or its latency is emulated.
    """
    if Capability.RUN not in device.capabilities:
        raise InputError(
            f"device {device.uri} cannot be calibrated: it must run ONNX Runtime, but it cannot run programs"
        )
    if device.kind != "measured":
        raise InputError(
            f"device {device.uri} cannot be calibrated: expected latencies measured on the board, but they are "
            f"{device.kind}"
        )


def check_machine(target: Target, device: Device, machine: str) -> None:
    """Check that measurements on a device are valid for the target.

    Args:
        target: Target of the latency table.
        device: Device to measure on.
        machine: Architecture of the device, as ``platform.machine()`` returns it there.

    Raises:
        TargetError: The target has another architecture.
    """
    expected = target.hardware.architecture
    if expected not in (None, machine):
        name = "this machine" if device.uri == "local:" else device.uri
        raise TargetError(
            f"target {target.name}: expected the architecture {expected}, but {name} has {machine}: "
            f"give the board with --device, or a target with the architecture {machine}, such as host"
        )


def check_runtime(target: Target) -> RunnerScripts:
    """Check that a latency table of ``target`` can be measured; return the runner scripts.

    Raises:
        TargetError: Single layers cannot be measured with the runtime of the target.
    """
    backend = backends.for_target(target)
    if not backend.measures_layers or backend.runner is None:
        able = [name for name in backends.names() if backends.backend(name).measures_layers]
        raise TargetError(
            f"target {target.name} cannot be calibrated: its runtime is {backend.name}, but layers can be measured "
            f"only with {' or '.join(able)}"
        )
    return backend.runner


def check_version(target: Target, device: Device, version: str) -> None:
    versions = allowed_versions(target, backends.for_target(target).installed_version)
    if not is_version_in(versions, version):
        raise TargetError(
            f"target {target.name}: expected {target.runtime.name} {versions}, but {device.uri} has {version}: "
            "install one of the expected versions on the device"
        )
