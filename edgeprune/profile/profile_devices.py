"""``profile``: a bundle or a model on a device, or on several at once."""

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
from edgeprune.devices.base import LineLostError
from edgeprune.errors import DeviceError, EdgePruneError, MeasurementError
from edgeprune.profile.interleaved_bench import InterleavedBench
from edgeprune.profile.profile_result import Profile
from edgeprune.profile.workload import Workload, subject
from edgeprune.progress import SILENT, Progress

logger = logging.getLogger(__name__)

_When = Callable[[str], AbstractContextManager[None]]
_TRIES = 3
_AGAIN_S = 1.0


@dataclass(frozen=True)
class DeviceOutcome:
    """Outcome of one device.

    Attributes:
        device: As it was named.
        profile: None where there is an error instead.
        error: Why there is no profile, or why it is not valid.
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
        what: The folder of a bundle, its ``.tar.gz``, or an ``.onnx`` or ``.tflite`` file.
        device: A device, its URI, or its name in ``devices.toml``.
        baseline: Another model (``dense``) or bundle (``base``) that takes turns with it; ratios are over it.
        progress: Advances by a block.
        conditions: See ``protocol.Conditions``; those that are not given are as the bundle's target says.

    Raises:
        InputError: There is nothing to profile, or no such device (exit code 3).
        BundleError: The bundle is not what its manifest says; nothing of it was run (3).
        DeviceError: The device cannot be reached, or fails (5).
        MeasurementError: What was measured is not valid (6).
    """
    there = known.device(device) if isinstance(device, str) else device
    with ExitStack() as stack:
        model, *other = [stack.enter_context(as_folder(Path(path))) for path in (what, baseline) if path is not None]
        found = subject(model, other[0] if other else None)
        measured = _measured(found, there, conditions, _alone, progress)
    problem = invalid(measured)
    if problem is not None:
        raise problem
    return measured


def profile_fleet(
    found: Workload, names: Sequence[str], *, progress: Progress = SILENT, **conditions: Any
) -> list[DeviceOutcome]:
    """Measure on several devices at once; those that are one machine take turns.

    Args:
        found: What is measured.
        names: URIs or names of devices.
        progress: With one device it advances by a block, else by a device.
        conditions: See ``profile``.

    Raises:
        InputError: A device is named that there is none of; nothing was measured.
    """
    devices = [_device(name) for name in names]
    if len(devices) == 1:
        return [_outcome(names[0], found, devices[0], conditions, progress=progress)]
    progress.start(len(devices))
    all_prepared, locks = threading.Barrier(len(devices)), _Locks()
    turns = [_Turn(all_prepared, locks) for _ in devices]
    outcomes: dict[int, DeviceOutcome] = {}
    bugs: list[Exception] = []

    def run(index: int) -> None:
        try:
            outcomes[index] = _outcome(names[index], found, devices[index], conditions, turns[index])
        except Exception as bug:  # noqa: BLE001 - raised again below: nobody hears of a thread
            bugs.append(bug)
        finally:
            turns[index].prepared()
            progress.advance()

    # Daemons: Ctrl-C ends the process at once, and what runs on a device ends with its connection.
    threads = [threading.Thread(target=run, args=(index,), daemon=True) for index in range(len(devices))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if bugs:
        raise bugs[0]
    return [outcomes[index] for index in range(len(devices))]


def invalid(measured: Profile) -> MeasurementError | None:
    """The error that says why a profile may not be used; None: it may."""
    validity = measured.validity
    if validity is None or validity.valid:
        return None
    again = f" (measured {validity.attempts} times)" if validity.attempts > 1 else ""
    return MeasurementError(f"not valid on {measured.device['uri']}{again}: {'; '.join(validity.problems)}")


class _Locks:
    """One lock a machine."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    def __getitem__(self, host: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(host, threading.Lock())


class _Turn:
    """When a device of a fleet may measure: when no other is being prepared, and none measures on the same machine."""

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
        """Say that nothing more is copied or started for it, at least in its first try, and wait for the others."""
        if not self._waited:
            self._waited = True
            self._all_prepared.wait()


def _alone(_host: str) -> AbstractContextManager[None]:
    return nullcontext()


def _device(name: str) -> Device | DeviceError:
    """The device; that it is known not to be there is an outcome like any other, a wrong name is not."""
    try:
        return known.device(name)
    except DeviceError as problem:
        return problem


def _outcome(
    name: str,
    found: Workload,
    device: Device | DeviceError,
    conditions: dict[str, Any],
    turn: _When | None = None,
    *,
    progress: Progress = SILENT,
) -> DeviceOutcome:
    if isinstance(device, DeviceError):
        return DeviceOutcome(name, error=device)
    try:
        measured = _measured(found, device, conditions, turn or _alone, progress)
    except EdgePruneError as problem:
        return DeviceOutcome(name, error=problem)
    return DeviceOutcome(name, measured, invalid(measured))


def _measured(found: Workload, device: Device, conditions: dict[str, Any], turn: _When, progress: Progress) -> Profile:
    """Measure, and try again where the line was lost."""
    how = replace(found.conditions, **conditions)
    models = found.models
    if len(models) > 1 and Capability.PUSH not in device.capabilities:
        baseline, name = models
        logger.warning("%s runs the one model in its firmware: it is measured without %s", device.uri, baseline)
        models = {name: models[name]}
    lost: DeviceError | None = None
    for attempt in range(_TRIES):
        if lost is not None:
            logger.warning("%s; trying again", lost)
            time.sleep(_AGAIN_S * attempt)
        try:
            with device.open() as workspace:
                bench = InterleavedBench(
                    workspace,
                    device,
                    models,
                    how,
                    runner=found.runner,
                    beside=found.beside,
                    golden=found.golden,
                )
                with turn(bench.host):
                    return bench.measure(progress)
        except DeviceError as problem:
            if lost is None and not isinstance(problem, LineLostError):
                raise
            lost = problem
    assert lost is not None
    raise DeviceError(f"{device.uri} was lost, and {_TRIES - 1} more tries did not help: {lost}") from lost
