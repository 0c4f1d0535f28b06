"""Mutate real files and give them to the commands of EdgePrune, each in a process of its own.

For each input, checks that the exit code is documented and not that of a bug, that an error is one sentence without a
control character, that it takes less than ten seconds, that the process does not crash, that no other file of the
folder is changed or lost, and that nothing is left behind by a refused input.

A bundle is given as its folder, with its archive beside it. The models of ``seeds`` are mutated as well.

    python scripts/explore/mutate.py --count 20000 --seed 1 BUNDLE [BUNDLE ...]
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import logging
import os
import random
import resource
import select
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
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))
from scripts.explore import mutations

TIME_LIMIT_S = 10
_MEASURING_S = 120
_GRACE_S = 5
"""Seconds after the limit until a process whose library code does not return to Python is killed."""
_CODES = (0, 2, 3, 4, 6)
_DEVICE_FAILED = 5
"""Exit code of ``profile`` alone, if the runtime of the device refuses a well-formed model."""
_REFUSED = (2, 3)
_TRACEBACK = '", line '
"""A part of every line of a traceback."""
_MOST_MEMORY_BYTES = 8 << 30
_DRAWN = frozenset({"report.html", "measured.json", "measured.json.sig"})
"""Files that ``report`` replaces or removes: the page, its hash, and a signature of the hash."""
_RESEALED = 0.5
"""Fraction of the files of a bundle whose new hash the manifest states, so that the commands read them."""
_QUICK = ("--runs", "1", "--blocks", "1", "--warmup", "0", "--retries", "0", "--timeout", "10")
_OF_MODELS, _OF_ARCHIVES, _OF_LINT, _OF_PROFILE = 6.0, 3.0, 1.0, 0.1


@dataclass
class Outcome:
    """What a run counted."""

    inputs: int = 0
    by_command: Counter[str] = field(default_factory=Counter)
    by_file: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    tracebacks: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    hangs: int = 0
    wrong_codes: int = 0
    not_one_sentence: int = 0
    changed_files: int = 0
    left_files: int = 0


class Case(NamedTuple):
    """A name, a file to mutate, the command that reads it, and how often it is drawn."""

    name: str
    file: Path
    command: list[str]
    weight: float = 1.0


class Ending(NamedTuple):
    """Result of a command: its exit code, and the counter and text of the problem, if there is one."""

    code: int | None
    counter: str | None = None
    place: str = ""
    problem: str = ""


class TimeLimitError(BaseException):
    """An input took longer than the limit."""


def cases(bundles: Sequence[Path]) -> list[Case]:
    """All cases; in their commands, ``{file}`` is the mutated copy of the file, and ``{}`` the folder that it is in."""
    root, result = Path(__file__).parents[2], []
    seeds = Path(__file__).parent / "seeds"
    for bundle in bundles:
        for file in sorted(path for path in bundle.iterdir() if path.suffix == ".json"):
            result += [Case("verify", file, ["verify", "{}"]), Case("report", file, ["report", "{}"])]
            if file.name in ("manifest.json", "profile.json", "evaluation.json"):
                result.append(Case("compare", file, ["compare", "{}", "{}"]))
            if file.name in ("manifest.json", "profile.json"):
                result.append(Case("compare", file, ["compare", "{file}", "{file}"]))
        for file in sorted(path for path in bundle.iterdir() if path.suffix in (".onnx", ".tflite", ".npz")):
            result += [
                Case("verify", file, ["verify", "{}"]),
                Case("profile", file, ["profile", "{}", "--output", "{}/made.json", *_QUICK], _OF_PROFILE),
            ]
        result += [Case("verify", file, ["verify", "{}"]) for file in bundle.glob("*.sig")]
        packed = bundle.with_name(f"{bundle.name}.tar.gz")
        if packed.is_file():
            result += [
                Case(command, packed, [command, *arguments], _OF_ARCHIVES)
                for command, *arguments in (("verify", "{file}"), ("report", "{file}"), ("compare", "{file}", "{file}"))
            ]
            result.append(Case("profile", packed, ["profile", "{file}", *_QUICK], _OF_PROFILE))
    models = [file for folder in (*bundles, seeds / "onnx", seeds / "tflite") for file in sorted(folder.iterdir())]
    for file in models:
        if file.suffix == ".onnx":
            result.append(Case("convert", file, ["convert", "{file}", "{}/made.tflite"], _OF_MODELS))
        if file.suffix == ".tflite":
            result.append(Case("lint", file, ["lint", "{file}"], _OF_LINT))
        if file.suffix in (".onnx", ".tflite"):
            result.append(Case("profile", file, ["profile", "{file}", *_QUICK], _OF_PROFILE))
    for file in (*root.glob("recipes/*/recipe.toml"), *root.glob("targets/*.toml")):
        kind = "recipes" if file.name == "recipe.toml" else "targets"
        result.append(Case(kind, file, [kind, "show", "{file}"], 0.5))
    return result


def main() -> None:
    """Run the mutations and print the counts as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--findings", type=Path, default=Path(".scratch/mutations"))
    parser.add_argument("--only", help="Commands that begin with this.")
    requested = parser.parse_args()
    logging.disable(logging.CRITICAL)
    chance, outcome, end = random.Random(requested.seed), Outcome(), time.monotonic() + requested.seconds
    available = [case for case in cases(requested.bundles) if case.name.startswith(requested.only or "")]
    requested.findings.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        _import_all(available, Path(scratch))
        for _ in range(requested.count):
            if time.monotonic() > end:
                break
            (case,) = chance.choices(available, [case.weight for case in available])
            content = mutations.mutated_file(case.file.name, case.file.read_bytes(), chance)
            _try(case, content, Path(scratch), outcome, requested.findings, resealed=chance.random() < _RESEALED)
    counts = {
        **vars(outcome),
        "seed": requested.seed,
        "edgeprune": version("edgeprune"),
        "python": sys.version.split()[0],
    }
    print(json.dumps(counts, indent=1))


def _import_all(available: Sequence[Case], scratch: Path) -> None:
    """Run each command on files as they are: processes that are forked afterwards need not import it."""
    for name in {case.name for case in available}:
        case = next(case for case in available if case.name == name)
        ended = _judge(_laid_out(case, case.file.read_bytes(), scratch), _MEASURING_S)
        if ended.counter is not None:
            sys.exit(f"{name} fails on {case.file} as it is: {ended.problem}")


def _laid_out(case: Case, content: bytes, scratch: Path, *, resealed: bool = False) -> list[str]:
    """Write ``content`` as the file of ``case``, with all other files of its bundle; returns the command line."""
    folder = scratch / "input"
    shutil.rmtree(folder, ignore_errors=True)
    if (case.file.parent / "manifest.json").is_file():
        shutil.copytree(case.file.parent, folder)
    else:
        folder.mkdir()
    place = folder / case.file.name
    place.write_bytes(content)
    if resealed and place.name != "manifest.json" and (folder / "manifest.json").is_file():
        mutations.reseal(folder, place.name)
    return [part.replace("{file}", str(place)).replace("{}", str(folder)) for part in case.command]


def _try(case: Case, content: bytes, scratch: Path, outcome: Outcome, findings: Path, *, resealed: bool) -> None:
    arguments, folder = _laid_out(case, content, scratch, resealed=resealed), scratch / "input"
    before = _hashes(folder)
    outcome.inputs += 1
    outcome.by_command[case.name] += 1
    outcome.by_file["".join(case.file.suffixes)] += 1
    ended = _ended(arguments)
    after = _hashes(folder)
    may_change = _DRAWN if case.name == "report" else frozenset()
    changed = sorted(path for path in before if after.get(path) != before[path] and path not in may_change)
    remaining = sorted(after.keys() - before.keys())
    problem = ended.problem
    if changed:
        outcome.changed_files += 1
        problem = problem or f"changed {changed}"
    if remaining and ended.code in _REFUSED:
        outcome.left_files += 1
        problem = problem or f"exit code {ended.code}, but left {remaining}"
    if ended.code is not None:
        outcome.codes[ended.code] += 1
    if ended.counter in ("tracebacks", "crashes"):
        getattr(outcome, ended.counter)[ended.place] += 1
    elif ended.counter is not None:
        setattr(outcome, ended.counter, getattr(outcome, ended.counter) + 1)
    if problem:
        case_file = findings / f"{case.name}-{hashlib.sha256(content).hexdigest()[:10]}"
        case_file.with_suffix(f".{case.file.name}").write_bytes(content)
        text = f"{case.file}\n{arguments}\n{'resealed' if resealed else ''}\n{problem}"
        case_file.with_suffix(".txt").write_text(text, encoding="utf-8", errors="backslashreplace")


def _ended(arguments: list[str]) -> Ending:
    """Run one command line in a forked process, which may crash and need not come to an end."""
    limit_s = _MEASURING_S if arguments[0] == "profile" else TIME_LIMIT_S
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY_BYTES, _MOST_MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with os.fdopen(writing, "wb") as answer:
            answer.write(json.dumps(_judge(arguments, limit_s)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        in_time = bool(select.select([answer], [], [], limit_s + _GRACE_S)[0])
        if not in_time:
            os.kill(child, signal.SIGKILL)
        text = answer.read() if in_time else b""
    _, status = os.waitpid(child, 0)
    if not in_time:
        return Ending(None, "hangs", problem="took longer than the limit, in a library")
    if not text:
        name = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"status {status}"
        return Ending(None, "crashes", f"{name} in {arguments[0]}", f"the process crashed: {name}")
    return Ending(*json.loads(text))


def _judge(arguments: list[str], limit_s: int) -> Ending:
    """Run one command line in this process."""
    from edgeprune.cli import run

    out, err = io.StringIO(), io.StringIO()
    try:
        with _limited(limit_s), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(arguments)
    except TimeLimitError as problem:
        return Ending(None, "hangs", problem="".join(traceback.format_exception(problem)))
    except BaseException as problem:  # noqa: BLE001  this is what is looked for
        frame = traceback.extract_tb(problem.__traceback__)[-1]
        place = f"{type(problem).__name__} in {Path(frame.filename).name}:{frame.lineno}"
        return Ending(None, "tracebacks", place, "".join(traceback.format_exception(problem)))
    output = err.getvalue()
    if code not in _CODES and (code, arguments[0]) != (_DEVICE_FAILED, "profile"):
        return Ending(code, "wrong_codes", problem=f"exit code {code}: {output}")
    if _TRACEBACK in out.getvalue() + output:
        message = f"exit code {code}, a traceback in the message: {out.getvalue()}{output}"
        return Ending(code, "not_one_sentence", problem=message)
    unsafe = [one for one in out.getvalue() + output if not (one.isprintable() or one in "\n\t")]
    errors = sum(line.startswith("error: ") for line in output.splitlines())
    if (code and errors != 1 and arguments[0] not in ("lint", "compare")) or unsafe:
        return Ending(code, "not_one_sentence", problem=f"exit code {code}, unsafe {unsafe[:5]}: {output}")
    return Ending(code)


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
