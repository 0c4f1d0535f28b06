#!/usr/bin/env python3
"""Prints the bytes of code behind each operator of TFLite Micro, for ``edgeprune/operator_facts/tflite_operators.py``.

    python scripts/kernel_code.py

They are read from the symbols of the installed tflite-micro package, whose kernels are the plain ones, built for this
machine: all functions that an operator's ``Register_...`` reaches by calls or addresses, less those of the interpreter
itself. Needs ``nm``, ``objdump`` and ``c++filt``.
"""

from __future__ import annotations

import re
import subprocess
from bisect import bisect_right
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import tflite_micro

_CORE = re.compile(
    r"tflite::micro::(MicroInterpreter|MicroInterpreterGraph|MicroInterpreterContext|MicroContext|MicroAllocator|"
    r"SingleArenaBufferAllocator|GreedyMemoryPlanner)::(?!Print)"
)
_LEFT_OUT = re.compile(r"^Py|pybind|[Dd]ecompress|compression|Python|numpy")
"""Of Python, and of compressed weights, which firmware is built without."""
_REGISTERED = re.compile(r"tflite::(?:micro::)?Register_(\w+)\(\)$")


def main() -> None:
    library = next(Path(tflite_micro.__file__).parent.rglob("_runtime.so"))
    sizes, names, calls = _read(library)
    left_out = {symbol for symbol, name in names.items() if _LEFT_OUT.search(name)}
    core = _reached([symbol for symbol, name in names.items() if _CORE.match(name)], calls, left_out)
    print(f"tflite-micro {version('tflite-micro')}: interpreter, allocator and planner {_total(core, sizes)}")
    registered = {result[1]: symbol for symbol, name in names.items() if (result := _REGISTERED.match(name))}
    for operator, symbol in sorted(registered.items()):
        print(f'    "{operator}": {_total(_reached([symbol], calls, core | left_out), sizes)},')


def _read(library: Path) -> tuple[dict[str, int], dict[str, str], dict[str, set[str]]]:
    """Bytes and full name of each symbol, and the symbols that each function refers to."""
    sizes, places = {}, []
    for line in _lines("nm", "-S", "--defined-only", library):
        parts = line.split()
        if len(parts) == 4 and parts[2] in "tTwWrRdDvV":
            sizes[parts[3]] = int(parts[1], 16)
            places.append((int(parts[0], 16), parts[3]))
    places.sort()
    starts = [start for start, _ in places]
    calls: dict[str, set[str]] = {}
    inside: set[str] = set()
    for line in _lines("objdump", "-d", "--no-show-raw-insn", library):
        if result := re.match(r"[0-9a-f]+ <(.+)>:$", line):
            inside = calls.setdefault(result[1], set())
            continue
        for target in re.findall(r"(?:#|call|j\w+)\s+(?:0x)?([0-9a-f]+) <", line):
            address = int(target, 16)
            start, symbol = places[bisect_right(starts, address) - 1]
            if start <= address < start + max(sizes[symbol], 1):
                inside.add(symbol)
    full = _lines("c++filt", text="\n".join(sizes))
    return sizes, dict(zip(sizes, full, strict=True)), calls


def _reached(roots: Iterable[str], calls: dict[str, set[str]], barred: set[str]) -> set[str]:
    records: set[str] = set()
    pending = list(roots)
    while pending:
        symbol = pending.pop()
        if symbol not in records and symbol not in barred:
            records.add(symbol)
            pending.extend(calls.get(symbol, ()))
    return records


def _total(symbols: set[str], sizes: dict[str, int]) -> int:
    return sum(sizes.get(symbol, 0) for symbol in symbols)


def _lines(*argv: str | Path, text: str | None = None) -> list[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=True, input=text).stdout.splitlines()


if __name__ == "__main__":
    main()
