"""The target ``host``, measured a few times only, for builds whose latency is not what is tested."""

from __future__ import annotations

from pathlib import Path

from edgeprune.config import Target, file_lookup
from edgeprune.config.target import ProfileSettings

_RUNS = {"warmup": 1, "runs": 6, "blocks": 2, "noise": 100.0}


def quick_host() -> Target:
    return Target.load("host").model_copy(update={"profile": ProfileSettings(**_RUNS)})


def write(folder: Path) -> None:
    """Write the target file that builds in ``folder`` take for ``host``."""
    text = (file_lookup.packaged("targets") / "host.toml").read_text().partition("[profile]")[0]
    (folder / "targets").mkdir()
    lines = "".join(f"{name} = {value}\n" for name, value in _RUNS.items())
    (folder / "targets" / "host.toml").write_text(f"{text}[profile]\n{lines}")
