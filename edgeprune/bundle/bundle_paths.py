"""Check of the paths in a bundle: no path leaves it, occurs twice, or has another meaning on another system."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from edgeprune.errors import BundleError

_MOST_BYTES = 1024


def check(paths: Iterable[str], own: Iterable[str] = ()) -> None:
    """Check that ``paths`` can be files of one bundle.

    Args:
        paths: Paths relative to the folder of the bundle.
        own: Names of the files that every bundle contains, such as its manifest.

    Raises:
        BundleError: A path leaves the bundle, has a character that cannot be printed, occurs twice, or is the path of
            both a file and a folder.
    """
    names = set(own)
    for path in paths:
        if not is_inside(path):
            raise BundleError(f"expected a relative, printable path inside the bundle, found '{printable(path)}'")
        if path in names:
            raise BundleError(f"a bundle cannot contain two files with the name {path}")
        names.add(path)
    for path in names:
        for folder in PurePosixPath(path).parents:
            if str(folder) in names:
                raise BundleError(f"{folder} cannot be both a file and a folder in the bundle")


def printable(name: str) -> str:
    """Return ``name`` for a message, on one line and with control characters escaped."""
    return name if name.isprintable() else ascii(name)


def is_inside(path: str) -> bool:
    """Return whether ``path`` is a relative, normalized path of a file inside the folder of a bundle."""
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
