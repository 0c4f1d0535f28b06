"""Whether a file fits a board: its arena into RAM, the file into flash."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgeprune.backends.tflm.linting.finding import Finding
from edgeprune.config import Target
from edgeprune.errors import TargetError

_ARENA = "arena_bytes"
_FLASH = "flash_bytes"


@dataclass(frozen=True)
class BoardFit:
    """A file on a board.

    Attributes:
        board: Name of the target.
        arena_bytes: With 32-bit pointers and CMSIS-NN's scratch buffers: estimated; None where TFLite Micro cannot run
            the file.
        arena_limit: What an arena may have there.
        flash_bytes: Estimated size of the firmware image.
        flash_limit: What they may have there.
    """

    board: str
    arena_bytes: int | None
    arena_limit: int
    flash_bytes: int
    flash_limit: int

    @property
    def arena_fits(self) -> bool:
        """Whether there is an arena, and room for it."""
        return self.arena_bytes is not None and self.arena_bytes <= self.arena_limit

    @property
    def flash_fits(self) -> bool:
        """Whether there is room for file and code."""
        return self.flash_bytes <= self.flash_limit

    @property
    def fits(self) -> bool:
        """Both."""
        return self.arena_fits and self.flash_fits


def microcontrollers() -> list[Target]:
    """All targets that run TFLite files with TFLite Micro, without a compiler."""
    targets = (Target.load(path) for path in Target.available().values())
    return [target for target in targets if target.runtime.name == "tflm"]


def named(names: Sequence[str]) -> list[Target]:
    """The microcontrollers of these names or paths.

    Raises:
        TargetError: One is not known, or is no microcontroller.
    """
    targets = [Target.load(name) for name in names]
    for target in targets:
        if target.microcontroller is None:
            known = ", ".join(board.name for board in microcontrollers())
            raise TargetError(f"{target.name} is no microcontroller; a TFLite file is checked for {known}")
    return targets


def fit(target: Target, arena_bytes: int | None, flash_bytes: int) -> BoardFit:
    """Hold what a file takes against what ``target`` leaves for it; see ``BoardFit``."""
    limits = target.limits
    return BoardFit(target.name, arena_bytes, limits[_ARENA], flash_bytes, limits[_FLASH])


def misfits(fits: Sequence[BoardFit]) -> Iterator[Finding]:
    """Findings on requested boards with too little memory."""
    for one in fits:
        if one.arena_bytes is not None and not one.arena_fits:
            yield Finding(
                "error", "arena-too-large",
                f"the arena takes {one.arena_bytes:,} bytes (estimated), {one.board} has room for {one.arena_limit:,}",
                "prune with a budget of arena_bytes, or take a smaller input",
            )  # fmt: skip
        if not one.flash_fits:
            yield Finding(
                "error", "flash-too-large",
                f"file and code: {one.flash_bytes:,} bytes (estimated), {one.board} has room for {one.flash_limit:,}",
                "prune with a budget of flash_bytes",
            )  # fmt: skip
