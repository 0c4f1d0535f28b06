"""Checks of devices: this machine, the emulators, and the devices in ``devices.toml``, with their runtimes."""

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
# It must run on Python 3.8. JetPack's trtexec is not on PATH.
_RUNTIME_QUERY = """
import json, os, platform, shutil, sys
from importlib.metadata import PackageNotFoundError, version
runtimes = {}
for name in ("onnxruntime", "onnxruntime-gpu", "ai-edge-litert", "tflite-runtime", "tensorrt"):
    try:
        runtimes[name] = version(name)
    except PackageNotFoundError:
        pass
for path in (shutil.which("trtexec"), "USUAL_PLACE"):
    if path and os.access(path, os.X_OK):
        runtimes["trtexec"] = path
print(json.dumps({"Python": platform.python_version(), "executable": sys.executable, "runtimes": runtimes}))
""".replace("USUAL_PLACE", USUAL_PLACE)


@check("Devices", place=3)
def devices() -> Iterator[Finding]:
    """Connect to each device, and query its Python and its runtimes."""
    yield _device("local:", "local:", needed=True)
    for name in BOARDS:
        yield _device(f"emulator:{name}", f"emulator:{name}", fix=f"edgeprune emulator install {name}")
    yield _device(f"emulator:{MICROCONTROLLER}", f"emulator:{MICROCONTROLLER}")
    try:
        configured = device_config.devices()
    except InputError as problem:
        yield Finding(device_config.FILE, "bad", str(problem))
        return
    with ThreadPoolExecutor(max(1, len(configured))) as pool:
        yield from pool.map(lambda pair: _device(*pair), configured.items())


def _device(name: str, uri: str, *, fix: str | None = None, needed: bool = False) -> Finding:
    """Check one device.

    Args:
        name: Name of the finding.
        uri: URI of the device.
        fix: Command that installs the device, if it is missing.
        needed: Whether builds need the device.
    """
    try:
        target_device = device(uri)
    except DeviceError as problem:
        return Finding(name, "absent", str(problem), fix, needed=needed)
    except InputError as problem:
        return Finding(name, "bad", str(problem), None, needed=needed)
    try:
        with target_device.open() as workspace:
            if Capability.RUN not in target_device.capabilities:
                return Finding(name, "ok", _firmware(workspace), needed=needed)
            response = safe_json.loads(workspace.run(["-c", _RUNTIME_QUERY], timeout_s=_RUN_S))
    except MissingPackageError as problem:
        return Finding(name, "absent", str(problem), fix, needed=needed)
    except (EdgePruneError, ValueError) as problem:
        return Finding(name, "bad", str(problem), fix, needed=needed)
    runtimes = {"Python": response["Python"], **response["runtimes"]}
    versions = ", ".join(f"{runtime} {version}" for runtime, version in runtimes.items())
    if not response["runtimes"]:
        scripts = for_target(Target.load("host")).runner
        assert scripts is not None
        needs = " ".join(f"'{requirement}'" for requirement in scripts.requirements.split())
        line = f"{response['executable']} -m pip install {needs}     (run it on the device)"
        return Finding(name, "bad", f"{versions}, but no supported runtime is installed", line, needed=needed)
    return Finding(name, "ok", versions, needed=needed)


def _firmware(workspace: Workspace) -> str:
    """Return the description in the first response of a board that cannot run programs."""
    response = safe_json.loads(workspace.converse([]).receive(timeout_s=_RUN_S))
    return ", ".join(str(response[key]) for key in ("cpu", "runtime_version") if response.get(key))
