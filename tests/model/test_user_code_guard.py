"""The guard around user code: no exception of it ends the process, and Ctrl-C still does."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeprune.errors import DataError, EdgePruneError, ModelError
from edgeprune.model import data, network
from edgeprune.model.user_code_guard import user_code


class _UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def _raise(problem: BaseException) -> Callable[[], None]:
    def function() -> None:
        raise problem

    return function


@pytest.mark.parametrize(
    "problem",
    [SystemExit(0), SystemExit("text"), KeyboardInterrupt(), ValueError("\x1b"), _UnprintableError(), OSError(28, "x")],
    ids=lambda problem: type(problem).__name__,
)
def test_exception_of_user_code_is_converted(problem: BaseException) -> None:
    with pytest.raises(ModelError, match=f"^it fails: {type(problem).__name__}: "), user_code("it fails", ModelError):
        _raise(problem)()


def test_deliberate_errors_pass() -> None:
    with pytest.raises(DataError), user_code("it fails", ModelError):
        raise DataError("its own")


def test_an_interrupt_from_outside_passes() -> None:
    def interrupted() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(10**6):
            pass

    with pytest.raises(KeyboardInterrupt), user_code("it fails", ModelError):
        interrupted()


_EXITS = {"SystemExit": "raise SystemExit", "sys.exit": "import sys; sys.exit(0)", "Ctrl-C": "raise KeyboardInterrupt"}


@pytest.mark.parametrize("code", _EXITS)
@pytest.mark.parametrize("place", ["import", "call"])
def test_a_factory_or_data_function_cannot_end_the_process(place: str, code: str, tmp_path: Path) -> None:
    line = _EXITS[code]
    text = line if place == "import" else f"def make():\n    {line}\n"
    (tmp_path / "own.py").write_text(text)
    with pytest.raises(ModelError):
        network.load_model("own.py:make", None, base=tmp_path)
    with pytest.raises(DataError):
        data.load("own.py:make", base=tmp_path)


@pytest.mark.parametrize(
    "spec", ["builtins:exit", "builtins:print", "os:getcwd", "builtins:quit", "sys:maxsize", "a:b"]
)
def test_a_factory_that_is_not_one_is_a_model_error(spec: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        network.load_model(spec, None, base=tmp_path)
    with pytest.raises(DataError):
        data.load(spec, base=tmp_path)


@pytest.mark.parametrize(
    "result", ["None", "5", "{}", "{'train': 5, 'validation': 5}", "{'train': [], 'validation': lambda: 1}", "[1, 2]"]
)
def test_invalid_result_of_a_data_function_is_a_data_error(result: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(f"def make():\n    return {result}\n")
    with pytest.raises(EdgePruneError) as caught:
        data.check(data.load("own.py:make", base=tmp_path), None, classes=False)
    assert caught.value.exit_code == 3
    assert not [name for name in sys.modules if name == "own"]
