"""Mutate real files and give them to the commands of EdgePrune, in this process.

For each input, checks that the exit code is documented and not that of a bug, that an error is one sentence without a
control character, that it takes less than ten seconds, and that no other file of the folder is changed or lost.

    python scripts/explore/mutate.py --count 20000 --seed 1 BUNDLE [BUNDLE ...]
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import hashlib
import io
import json
import logging
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

TIME_LIMIT_S = 10
_MEASURING_S = 120
_CODES = (0, 2, 3, 4, 6)
_TOKENS = (
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"[" * 3000, b'{"a":' * 100, b"9" * 5000, b"1" + b"0" * 400, b"1e999",
    b"NaN", b"null", b"[]", b"{}", b'""', b"-1", b"0", b"true", b"\\ud800", b"\x1b]0;x\x07", b"../../x", b"/dev/zero",
    b"\n", b"\r", b"18446744073709551616", b"0.5", b"\xe2\x80\xae", b"%s{}", b"A" * 70_000,
)  # fmt: skip

_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2**31, 2**63, 10**400, 0.0, -0.5, 1e-300, 1e300, "", "x", "\x1b[31m\u202e", "a" * 5000, [],
    {}, [[]], [0], {"": []}, [None], "0", "NaN",
)  # fmt: skip
_OF_VALUES = 0.6


@dataclass
class Outcome:
    """What a run counted."""

    inputs: int = 0
    by_command: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    tracebacks: Counter[str] = field(default_factory=Counter)
    hangs: int = 0
    wrong_codes: int = 0
    not_one_sentence: int = 0
    changed_files: int = 0


class Case(NamedTuple):
    """A name, a file to mutate, and the command that reads it."""

    name: str
    file: Path
    command: list[str]


class TimeLimitError(BaseException):
    """An input took longer than the limit."""


def mutated(content: bytes, chance: random.Random) -> bytes:
    """One to four changes of ``content``: of bits, bytes, blocks and tokens, or of values if it is JSON."""
    if chance.random() < _OF_VALUES and content[:1] == b"{":
        with contextlib.suppress(ValueError):
            return _with_other_values(content, chance)
    result = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        place = chance.randrange(len(result) + 1)
        kind = chance.randrange(8)
        if kind == 0 and result:
            result[place % len(result)] ^= 1 << chance.randrange(8)
        elif kind == 1 and result:
            result[place % len(result)] = chance.randrange(256)
        elif kind == 2:
            del result[place : place + chance.choice((1, 4, 64, 4096))]
        elif kind == 3:
            result[place:place] = chance.choice(_TOKENS)
        elif kind == 4:
            result[place:place] = result[: chance.choice((1, 16, 512))]
        elif kind == 5:
            del result[place:]
        elif kind == 6:
            _replace_value(result, chance)
        else:
            size = chance.choice((1, 2, 4, 8))
            result[place : place + size] = chance.choice((0, 1, 2**31, 2**63, -1)).to_bytes(9, "little", signed=True)[
                :size
            ]
    return bytes(result)


def _with_other_values(content: bytes, chance: random.Random) -> bytes:
    """JSON whose values at one to three places are gone, doubled or replaced, so that it still is JSON."""
    tree = json.loads(content)
    for _ in range(chance.choice((1, 1, 2, 3))):
        places = list(_places(tree))
        parent, key = chance.choice(places)
        kind = chance.randrange(4)
        if kind == 0:
            del parent[key]
        elif kind == 1 and isinstance(parent, list):
            parent.append(parent[key])
        elif kind == 2:  # the value of another place
            other, its_key = chance.choice(places)
            parent[key] = copy.deepcopy(other[its_key]) if its_key in other or isinstance(other, list) else None
        else:
            parent[key] = copy.deepcopy(chance.choice(_VALUES))
        if not tree:
            break
    return json.dumps(tree).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, (dict, list)):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def _replace_value(content: bytearray, chance: random.Random) -> None:
    """Replace what is between a colon or comma and the next comma or bracket."""
    starts = [place + 1 for place, byte in enumerate(content[:20_000]) if byte in b":,=["]
    if starts:
        start = chance.choice(starts)
        end = next(
            (place for place in range(start, min(len(content), start + 200)) if content[place] in b",}]\n"), start
        )
        content[start:end] = chance.choice(_TOKENS)


def cases(bundles: Sequence[Path]) -> list[Case]:
    """A name, a file to mutate, and the command that reads it; ``{}`` is the folder that the file's copy is in."""
    root, found = Path(__file__).parents[2], []
    for bundle in bundles:
        for file in sorted(path for path in bundle.iterdir() if path.suffix == ".json"):
            found += [("verify", file, ["verify", "{}"]), ("report", file, ["report", "{}"])]
            if file.name in ("manifest.json", "profile.json"):
                found += [
                    ("compare", file, ["compare", "{}", "{}"]),
                    ("compare", file, ["compare", "{file}", "{file}"]),
                ]
        for file in bundle.glob("*.tflite"):
            found += [("lint", file, ["lint", "{file}"]), ("profile", file, ["profile", "{file}", "--runs", "1"])]
        for file in bundle.glob("*.onnx"):
            found.append(("convert", file, ["convert", "{file}", "{}/made.tflite"]))
        packed = bundle.with_name(f"{bundle.name}.tar.gz")
        if packed.is_file():
            found.append(("verify archive", packed, ["verify", "{file}"]))
            found.append(("compare archive", packed, ["compare", "{file}", "{file}"]))
    for file in (*root.glob("recipes/*/recipe.toml"), *root.glob("targets/*.toml")):
        kind = "recipes" if file.name == "recipe.toml" else "targets"
        found.append((kind, file, [kind, "show", "{file}"]))
    return [Case(*case) for case in found]


def main() -> None:
    """Run the mutations and print the counts as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--findings", type=Path, default=Path(".scratch/mutations"))
    parser.add_argument("--only", help="Commands that begin with this.")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    chance, outcome, end = random.Random(asked.seed), Outcome(), time.monotonic() + asked.seconds
    known = [case for case in cases(asked.bundles) if case.name.startswith(asked.only or "")]
    asked.findings.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(asked.count):
            if time.monotonic() > end:
                break
            content = mutated(known[number % len(known)].file.read_bytes(), chance)
            _try(known[number % len(known)], content, Path(scratch), outcome, asked.findings)
    counts = {**vars(outcome), "seed": asked.seed, "edgeprune": version("edgeprune"), "python": sys.version.split()[0]}
    print(json.dumps(counts, indent=1))


def _try(case: Case, content: bytes, scratch: Path, outcome: Outcome, findings: Path) -> None:
    name, file, command = case
    folder = scratch / "input"
    shutil.rmtree(folder, ignore_errors=True)
    if file.suffix == ".json":
        shutil.copytree(file.parent, folder)
    else:
        folder.mkdir()
    place = folder / file.name
    place.write_bytes(content)
    arguments = [part.replace("{file}", str(place)).replace("{}", str(folder)) for part in command]
    before = _hashes(folder)
    outcome.inputs += 1
    outcome.by_command[name] += 1
    problem = _judge(arguments, outcome)
    lost = [path for path, digest in before.items() if _hashes(folder).get(path) != digest and path != "report.html"]
    if lost and name not in ("report", "profile"):
        outcome.changed_files += 1
        problem = problem or f"changed {lost}"
    if problem is not None:
        kept = findings / f"{name.replace(' ', '-')}-{hashlib.sha256(content).hexdigest()[:10]}"
        kept.with_suffix(f".{file.name}").write_bytes(content)
        kept.with_suffix(".txt").write_text(f"{arguments}\n{problem}", encoding="utf-8", errors="backslashreplace")


def _judge(arguments: list[str], outcome: Outcome) -> str | None:
    """Run one command line; returns what is wrong with how it ended."""
    from edgeprune.cli import run

    out, err = io.StringIO(), io.StringIO()
    try:
        limit_s = _MEASURING_S if arguments[0] == "profile" else TIME_LIMIT_S  # of a model that still runs
        with _limited(limit_s), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(arguments)
    except TimeLimitError:
        outcome.hangs += 1
        return "took longer than the limit"
    except BaseException as problem:  # noqa: BLE001  this is what is looked for
        frame = traceback.extract_tb(problem.__traceback__)[-1]
        outcome.tracebacks[f"{type(problem).__name__} in {Path(frame.filename).name}:{frame.lineno}"] += 1
        return "".join(traceback.format_exception(problem))
    outcome.codes[code] += 1
    said = err.getvalue()
    if code not in _CODES:
        outcome.wrong_codes += 1
        return f"exit code {code}: {said}"
    unsafe = [one for one in out.getvalue() + said if not (one.isprintable() or one in "\n\t")]
    if (code and said.count("error: ") != 1 and arguments[0] not in ("lint", "compare")) or unsafe:
        outcome.not_one_sentence += 1
        return f"exit code {code}, unsafe {unsafe[:5]}: {said}"
    return None


@contextlib.contextmanager
def _limited(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeLimitError

    before: Callable[..., object] | int | None = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _hashes(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


if __name__ == "__main__":
    main()
