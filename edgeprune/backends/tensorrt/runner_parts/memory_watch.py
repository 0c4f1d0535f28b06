"""Measurement of the memory of the whole board while an engine runs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

_MEMORY_PERIOD_S = 0.05


class MemoryWatch:
    """Used memory of the whole board. The memory of a process would not include that of the GPU."""

    def __init__(self) -> None:
        self.baseline_bytes = _used_bytes()
        self.peak_bytes = self.baseline_bytes

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Update the peak while the context is active."""
        stop = threading.Event()

        def follow() -> None:
            while not stop.wait(_MEMORY_PERIOD_S):
                self.peak_bytes = max(self.peak_bytes, _used_bytes())

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _used_bytes() -> int:
    with open("/proc/meminfo") as file:
        lines = (line.split() for line in file)
        sizes = {line[0]: int(line[1]) * 1024 for line in lines if len(line) == 3 and line[2] == "kB"}
    return sizes["MemTotal:"] - sizes["MemAvailable:"]
