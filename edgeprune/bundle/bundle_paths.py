"""Which paths a bundle may have: nothing that leaves it, is there twice, or means something else on another system."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from edgeprune.errors import BundleError

_MOST_BYTES = 1024


def check(paths: Iterable[str], own: Iterable[str] = ()) -> None:
    """See to it that ``paths`` can lie in one folder, beside the files that a bundle writes on its ``own``.

    Raises:
        BundleError: One leaves the bundle, has an odd character, comes twice, or is a file and a folder.
    """
    seen = set(own)
    for path in paths:
        if not is_inside(path):
            raise BundleError(f"'{shown(path)}' is no path inside a bundle")
        if path in seen:
            raise BundleError(f"a bundle has one file of a name: {path}")
        seen.add(path)
    for path in seen:
        for folder in PurePosixPath(path).parents:
            if str(folder) in seen:
                raise BundleError(f"{folder} is a file and a folder in one bundle")


def shown(name: str) -> str:
    """``name`` as a message has it, on one line: what a terminal could obey is escaped."""
    return name if name.isprintable() else ascii(name)


def is_inside(path: str) -> bool:
    """Whether ``path`` is relative, plain, and names a file below the folder it is in."""
    pure = PurePosixPath(path)
    return (
        str(pure) == path
        and path != "."
        and not pure.is_absolute()
        and ".." not in pure.parts
        and "\\" not in path
        and path.isprintable()
        and len(path.encode(errors="surrogatepass")) <= _MOST_BYTES
    )
