"""Devices: this machine, the emulators, and those that ``devices.toml`` names; what runs on each."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from edgeprune import safe_json
from edgeprune.backends import for_target
from edgeprune.backends.tensorrt.runner_parts.trtexec_program import USUAL_PLACE
from edgeprune.config import Target
from edgeprune.devices import Capability, Workspace, device, device_config
from edgeprune.devices.emulated import MICROCONTROLLER
from edgeprune.devices.emulation import BOARDS
from edgeprune.doctor.base import Finding, check
from edgeprune.errors import DeviceError, EdgePruneError, InputError, MissingPackageError

_RUN_S = 120
# Python 3.8 knows all of it. JetPack's trtexec is on no PATH.
_LOOK = """
import json, os, platform, shutil, sys
from importlib.metadata import PackageNotFoundError, version
found = {}
for name in ("onnxruntime", "onnxruntime-gpu", "ai-edge-litert", "tflite-runtime", "tensorrt"):
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
for path in (shutil.which("trtexec"), "USUAL_PLACE"):
    if path and os.access(path, os.X_OK):
        found["trtexec"] = path
print(json.dumps({"Python": platform.python_version(), "executable": sys.executable, "runtimes": found}))
""".replace("USUAL_PLACE", USUAL_PLACE)


@check("Devices", place=3)
def devices() -> Iterator[Finding]:
    """Each is connected to, and asked for its Python and its runtimes."""
    yield _device("local:", "local:", needed=True)
    for name in BOARDS:
        yield _device(f"emulator:{name}", f"emulator:{name}", fix=f"edgeprune emulator install {name}")
    yield _device(f"emulator:{MICROCONTROLLER}", f"emulator:{MICROCONTROLLER}")
    try:
        known = device_config.devices()
    except InputError as problem:
        yield Finding(device_config.FILE, "bad", str(problem))
        return
    with ThreadPoolExecutor(max(1, len(known))) as pool:
        yield from pool.map(lambda pair: _device(*pair), known.items())


def _device(name: str, uri: str, *, fix: str | None = None, needed: bool = False) -> Finding:
    """``fix`` is for a device that is known not to be there."""
    try:
        found = device(uri)
    except DeviceError as problem:
        return Finding(name, "absent", str(problem), fix, needed=needed)
    except InputError as problem:
        return Finding(name, "bad", str(problem), None, needed=needed)
    try:
        with found.open() as workspace:
            if Capability.RUN not in found.capabilities:
                return Finding(name, "ok", _firmware(workspace), needed=needed)
            seen = safe_json.loads(workspace.run(["-c", _LOOK], timeout_s=_RUN_S))
    except MissingPackageError as problem:
        return Finding(name, "absent", str(problem), fix, needed=needed)
    except (EdgePruneError, ValueError) as problem:
        return Finding(name, "bad", str(problem), fix, needed=needed)
    runtimes = {"Python": seen["Python"], **seen["runtimes"]}
    versions = ", ".join(f"{what} {version}" for what, version in runtimes.items())
    if not seen["runtimes"]:
        scripts = for_target(Target.load("host")).runner
        assert scripts is not None
        needs = " ".join(f"'{requirement}'" for requirement in scripts.requirements.split())
        line = f"{seen['executable']} -m pip install {needs}     (typed there)"
        return Finding(name, "bad", f"{versions}, and no runtime", line, needed=needed)
    return Finding(name, "ok", versions, needed=needed)


def _firmware(workspace: Workspace) -> str:
    """The first answer of a board, which runs no programs: its description of itself."""
    said = safe_json.loads(workspace.converse([]).receive(timeout_s=_RUN_S))
    return ", ".join(str(said[key]) for key in ("cpu", "runtime_version") if said.get(key))
