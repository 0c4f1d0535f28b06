"""A guard around code of the user: whatever it raises is one deliberate error, and it cannot end the process."""

from __future__ import annotations

import dis
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeprune.errors import EdgePruneError

_NOT_USER_CODE = (str(Path(__file__).parents[1]), sysconfig.get_path("stdlib"), "<frozen")
_RAISE = dis.opmap["RAISE_VARARGS"]
_MAX_CHARACTERS = 2000


@contextmanager
def user_code(failure: str, error: type[EdgePruneError], *, advice: str = "") -> Iterator[None]:
    """Raise ``error`` for whatever the code inside raises, ``SystemExit`` and its own ``KeyboardInterrupt`` included.

    Deliberate errors of EdgePrune pass, and so does the interrupt of a user who presses Ctrl-C.

    Args:
        failure: Beginning of the message, such as "the data function f fails".
        error: Class of the error.
        advice: Remedy, printed behind the description of the failure.
    """
    try:
        yield
    except EdgePruneError:
        raise
    except BaseException as problem:
        if not is_failure(problem):
            raise
        raise error(f"{failure}: {describe(problem)}{advice}") from problem


def is_failure(problem: BaseException) -> bool:
    """Whether user code failed with ``problem``; False for the interrupt of a person, and for a generator's end."""
    if isinstance(problem, KeyboardInterrupt):
        return _is_raised_by_user_code(problem)
    return isinstance(problem, (Exception, SystemExit))


def describe(problem: BaseException) -> str:
    """One line for a failure in user code: type, message, and the innermost line of user code it passed through."""
    try:
        text = str(problem).strip()
    except Exception:  # noqa: BLE001  an exception of the user's own may fail to describe itself
        text = ""
    if len(text) > _MAX_CHARACTERS:
        text = f"{text[:_MAX_CHARACTERS]}..."
    text = f"{type(problem).__name__}: {text or 'no message'}"
    frames = traceback.extract_tb(problem.__traceback__)
    if isinstance(problem, SyntaxError):
        return text
    own = [frame for frame in frames if is_user_code(frame.filename)]
    return f"{text} ({own[-1].filename}, line {own[-1].lineno})" if own else text


def is_user_code(filename: str) -> bool:
    """Whether a source file belongs neither to EdgePrune nor to Python nor to an installed package."""
    return "site-packages" not in filename and not filename.startswith(_NOT_USER_CODE)


def _is_raised_by_user_code(problem: BaseException) -> bool:
    """Whether a ``raise`` of user code made ``problem``; an interrupt from outside arrives between instructions."""
    trace = problem.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or not is_user_code(trace.tb_frame.f_code.co_filename):
        return False
    return trace.tb_frame.f_code.co_code[trace.tb_lasti] == _RAISE
