"""Measure a bundle or a model on one device, or on several devices at once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeprune import devices as known
from edgeprune.bundle.unpack import as_folder
from edgeprune.devices import Capability, Device
from edgeprune.devices.base import ConnectionLostError
from edgeprune.errors import DeviceError, EdgePruneError, MeasurementError
from edgeprune.profile.interleaved_bench import InterleavedBench
from edgeprune.profile.profile_result import Profile
from edgeprune.profile.workload import Workload, load_workload
from edgeprune.progress import SILENT, Progress

logger = logging.getLogger(__name__)

_When = Callable[[str], AbstractContextManager[None]]
_ATTEMPTS = 3
_RETRY_DELAY_S = 1.0


@dataclass(frozen=True)
class DeviceOutcome:
    """Outcome of one device.

    Attributes:
        device: Name or URI of the device, as it was given.
        profile: Profile; None if it could not be measured.
        error: Error that prevented the profile or makes it invalid; None without an error.
    """

    device: str
    profile: Profile | None = None
    error: EdgePruneError | None = None


def profile(
    what: Path | str,
    device: Device | str = "local:",
    *,
    baseline: Path | str | None = None,
    progress: Progress = SILENT,
    **conditions: Any,
) -> Profile:
    """Measure a bundle or a model on a device.

    Args:
        what: Folder of a bundle, its ``.tar.gz``, or an ``.onnx`` or ``.tflite`` file.
        device: A device, its URI, or its name in ``devices.toml``.
        baseline: Another model (``dense``) or bundle (``base``), measured interleaved; ratios are relative to it.
        progress: Progress, which advances by a block.
        conditions: Fields of ``MeasurementSettings``. Defaults to the values of the bundle's target.

    Raises:
        InputError: There is no bundle or model to profile, or the device is unknown (exit code 3).
        BundleError: The bundle does not match its manifest; no part of it was run (3).
        DeviceError: The device cannot be reached, or fails (5).
        MeasurementError: The measurements are not valid (6).
    """
    target_device = known.device(device) if isinstance(device, str) else device
    with ExitStack() as stack:
        model, *other = [stack.enter_context(as_folder(Path(path))) for path in (what, baseline) if path is not None]
        workload = load_workload(model, other[0] if other else None)
        measured = _measured(workload, target_device, conditions, _alone, progress)
    problem = invalid(measured)
    if problem is not None:
        raise problem
    return measured


def profile_fleet(
    workload: Workload, names: Sequence[str], *, progress: Progress = SILENT, **conditions: Any
) -> list[DeviceOutcome]:
    """Measure on several devices at once. Devices that are one machine measure one after the other.

    Args:
        workload: Models to measure.
        names: URIs or names of devices.
        progress: Progress, which advances by a block for a single device, else by a device.
        conditions: See ``profile``.

    Raises:
        InputError: A device is unknown; nothing was measured.
    """
    devices = [_device(name) for name in names]
    if len(devices) == 1:
        return [_outcome(names[0], workload, devices[0], conditions, progress=progress)]
    progress.start(len(devices))
    all_prepared, locks = threading.Barrier(len(devices)), _Locks()
    turns = [_Turn(all_prepared, locks) for _ in devices]
    outcomes: dict[int, DeviceOutcome] = {}
    bugs: list[Exception] = []

    def run(index: int) -> None:
        try:
            outcomes[index] = _outcome(names[index], workload, devices[index], conditions, turns[index])
        except Exception as bug:  # noqa: BLE001 - raised again below, as threads do not propagate errors
            bugs.append(bug)
        finally:
            turns[index].prepared()
            progress.advance()

    # Daemon threads: Ctrl-C ends the process at once, and programs on a device end with the connection.
    threads = [threading.Thread(target=run, args=(index,), daemon=True) for index in range(len(devices))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if bugs:
        raise bugs[0]
    return [outcomes[index] for index in range(len(devices))]


def invalid(measured: Profile) -> MeasurementError | None:
    """Return the error that states why a profile is not valid; None if it is valid."""
    validity = measured.validity
    if validity is None or validity.valid:
        return None
    again = f" (measured {validity.attempts} times)" if validity.attempts > 1 else ""
    return MeasurementError(
        f"the measurement on '{measured.device['uri']}' is not valid{again}: {'; '.join(validity.problems)}"
    )


class _Locks:
    """Locks by machine."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    def __getitem__(self, host: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(host, threading.Lock())


class _Turn:
    """Turn of one device of a fleet: it measures when all devices are prepared and its machine is free."""

    def __init__(self, all_prepared: threading.Barrier, locks: _Locks) -> None:
        self._all_prepared = all_prepared
        self._locks = locks
        self._waited = False

    @contextmanager
    def __call__(self, host: str) -> Iterator[None]:
        self.prepared()
        with self._locks[host]:
            yield

    def prepared(self) -> None:
        """Report that files are copied and runners are started, and wait for the other devices (first attempt only)."""
        if not self._waited:
            self._waited = True
            self._all_prepared.wait()


def _alone(_host: str) -> AbstractContextManager[None]:
    return nullcontext()


def _device(name: str) -> Device | DeviceError:
    """Return the device, or the error if it is not available. An unknown name raises."""
    try:
        return known.device(name)
    except DeviceError as problem:
        return problem


def _outcome(
    name: str,
    workload: Workload,
    device: Device | DeviceError,
    conditions: dict[str, Any],
    turn: _When | None = None,
    *,
    progress: Progress = SILENT,
) -> DeviceOutcome:
    if isinstance(device, DeviceError):
        return DeviceOutcome(name, error=device)
    try:
        measured = _measured(workload, device, conditions, turn or _alone, progress)
    except EdgePruneError as problem:
        return DeviceOutcome(name, error=problem)
    return DeviceOutcome(name, measured, invalid(measured))


def _measured(
    workload: Workload, device: Device, conditions: dict[str, Any], turn: _When, progress: Progress
) -> Profile:
    """Measure, and try again if the connection was lost."""
    settings = replace(workload.conditions, **conditions)
    models = workload.models
    if len(models) > 1 and Capability.PUSH not in device.capabilities:
        baseline, name = models
        logger.warning("%s can run only the model in its firmware, so %s is not measured", device.uri, baseline)
        models = {name: models[name]}
    connection_error: DeviceError | None = None
    for attempt in range(_ATTEMPTS):
        if connection_error is not None:
            logger.warning("%s; trying again", connection_error)
            time.sleep(_RETRY_DELAY_S * attempt)
        try:
            with device.open() as workspace:
                bench = InterleavedBench(
                    workspace,
                    device,
                    models,
                    settings,
                    runner=workload.runner,
                    companion_files=workload.companion_files,
                    golden=workload.golden,
                )
                with turn(bench.host):
                    return bench.measure(progress)
        except DeviceError as problem:
            if connection_error is None and not isinstance(problem, ConnectionLostError):
                raise
            connection_error = problem
    assert connection_error is not None
    raise DeviceError(
        f"the connection to {device.uri} was lost, and {_ATTEMPTS - 1} more attempts failed: {connection_error}"
    ) from connection_error
