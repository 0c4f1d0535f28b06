"""Guard around user code: every exception becomes one deliberate error, and user code cannot end the process."""

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
    """Raise ``error`` for every exception of the code inside, also ``SystemExit`` and its own ``KeyboardInterrupt``.

    Deliberate errors of EdgePrune, and the interrupt of a user who presses Ctrl-C, are not converted.

    Args:
        failure: Beginning of the message, such as "the data function f fails".
        error: Class of the error.
        advice: Remedy, printed after the description of the failure.
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
    """Return whether ``problem`` is a failure of user code; False for Ctrl-C and for the end of a generator."""
    if isinstance(problem, KeyboardInterrupt):
        return _is_raised_by_user_code(problem)
    return isinstance(problem, (Exception, SystemExit))


def describe(problem: BaseException) -> str:
    """Return one line for a failure in user code: type, message, and the innermost line of user code."""
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
    """Return whether a source file belongs neither to EdgePrune nor to Python nor to an installed package."""
    return "site-packages" not in filename and not filename.startswith(_NOT_USER_CODE)


def _is_raised_by_user_code(problem: BaseException) -> bool:
    """Return whether a ``raise`` in user code caused ``problem``; an interrupt arrives between instructions."""
    trace = problem.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or not is_user_code(trace.tb_frame.f_code.co_filename):
        return False
    return trace.tb_frame.f_code.co_code[trace.tb_lasti] == _RAISE
