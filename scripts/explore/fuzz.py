"""Fuzz one reader of foreign input, guided by coverage.

Needs the extra ``explore`` (atheris, a binding of libFuzzer). Every input must end with a value or a deliberate error
of EdgePrune, within ten seconds. An input that does not is kept in ``--findings``, once for each place that raised.

    python scripts/explore/fuzz.py manifest --seconds 1800
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))
from scripts.explore import readers


def main() -> None:
    """Run libFuzzer; prints the counts as JSON at the end, however it ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", choices=sorted(readers.READERS))
    parser.add_argument("--seconds", type=int, default=1800)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, default=Path(".scratch/corpus"))
    parser.add_argument("--findings", type=Path, default=Path(".scratch/findings"))
    requested = parser.parse_args()
    logging.disable(logging.CRITICAL)
    corpus, findings = requested.corpus / requested.reader, requested.findings / requested.reader
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in readers.seeds(requested.reader):
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    with atheris.instrument_imports(include=["edgeprune", "tomllib", "json.decoder"]):
        for seed in readers.seeds(requested.reader):  # readers import what they need
            with suppress(*readers.ALLOWED):
                readers.READERS[requested.reader](seed)
    run = _Run(requested.reader, findings, time.monotonic() + requested.seconds)
    options = [
        f"-seed={requested.seed}", f"-max_total_time={requested.seconds}", f"-timeout={int(readers.TIME_LIMIT_S)}",
        "-max_len=65536", "-len_control=20", "-rss_limit_mb=4096", f"-artifact_prefix={findings}/",
        "-print_final_stats=0", "-verbosity=0",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], run)
    atheris.Fuzz()


class _Run:
    """Feeds inputs to one reader and counts."""

    def __init__(self, name: str, findings: Path, end: float) -> None:
        self._name, self._reader = name, readers.READERS[name]
        self._findings, self._end, self._started = findings, end, time.monotonic()
        self._inputs = self._slow = 0
        self._places: dict[str, int] = {}

    def __call__(self, content: bytes) -> None:
        if time.monotonic() > self._end:
            self._print()
            os._exit(0)  # libFuzzer would end the process without a word
        self._inputs += 1
        started = time.monotonic()
        try:
            self._reader(content)
        except readers.ALLOWED:
            pass
        except Exception as problem:  # noqa: BLE001  this is what is looked for
            self._keep(content, problem)
        if time.monotonic() - started > readers.TIME_LIMIT_S:
            self._slow += 1
            (self._findings / f"slow-{hashlib.sha256(content).hexdigest()[:12]}").write_bytes(content)

    def _keep(self, content: bytes, problem: Exception) -> None:
        frame = traceback.extract_tb(problem.__traceback__)[-1]
        place = f"{type(problem).__name__} in {Path(frame.filename).name}:{frame.lineno}"
        if place not in self._places:
            name = hashlib.sha256(place.encode()).hexdigest()[:12]
            (self._findings / name).write_bytes(content)
            text = "".join(traceback.format_exception(problem))
            (self._findings / f"{name}.txt").write_text(text, encoding="utf-8", errors="backslashreplace")
        self._places[place] = self._places.get(place, 0) + 1

    def _print(self) -> None:
        counts = {
            "reader": self._name, "inputs": self._inputs, "seconds": round(time.monotonic() - self._started),
            "tracebacks": sum(self._places.values()), "places": self._places, "slow": self._slow,
        }  # fmt: skip
        print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main()
