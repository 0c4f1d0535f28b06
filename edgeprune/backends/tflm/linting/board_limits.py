"""Comparison of the arena and flash size of a file with the limits of boards."""

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
    """RAM and flash of a file, and their limits on a board.

    Attributes:
        board: Name of the target.
        arena_bytes: Estimated arena size with 32-bit pointers and CMSIS-NN's scratch buffers, in bytes; None if TFLite
            Micro cannot run the file.
        arena_limit: Largest allowed arena on the board in bytes.
        flash_bytes: Estimated size of the firmware image in bytes.
        flash_limit: Largest allowed firmware image on the board in bytes.
    """

    board: str
    arena_bytes: int | None
    arena_limit: int
    flash_bytes: int
    flash_limit: int

    @property
    def arena_fits(self) -> bool:
        """Whether TFLite Micro can run the file and its arena fits."""
        return self.arena_bytes is not None and self.arena_bytes <= self.arena_limit

    @property
    def flash_fits(self) -> bool:
        """Whether the firmware image fits into flash."""
        return self.flash_bytes <= self.flash_limit

    @property
    def fits(self) -> bool:
        """Whether both the arena and the firmware image fit."""
        return self.arena_fits and self.flash_fits


def microcontrollers() -> list[Target]:
    """Return all targets that run TFLite files with TFLite Micro and without a compiler."""
    targets = (Target.load(path) for path in Target.available().values())
    return [target for target in targets if target.runtime.name == "tflm"]


def named(names: Sequence[str]) -> list[Target]:
    """Load the microcontroller targets with these names or paths.

    Raises:
        TargetError: A target is not known, or is not a microcontroller.
    """
    targets = [Target.load(name) for name in names]
    for target in targets:
        if target.microcontroller is None:
            available = ", ".join(board.name for board in microcontrollers())
            raise TargetError(f"target {target.name} is not a microcontroller, must be one of {available}")
    return targets


def fit(target: Target, arena_bytes: int | None, flash_bytes: int) -> BoardFit:
    """Compare the sizes of a file with the limits of ``target``."""
    limits = target.limits
    return BoardFit(target.name, arena_bytes, limits[_ARENA], flash_bytes, limits[_FLASH])


def misfits(fits: Sequence[BoardFit]) -> Iterator[Finding]:
    """Yield a finding for each limit of the requested boards that the file exceeds."""
    for board_fit in fits:
        if board_fit.arena_bytes is not None and not board_fit.arena_fits:
            yield Finding(
                "error", "arena-too-large",
                f"the arena needs {board_fit.arena_bytes:,} bytes (estimated), but {board_fit.board} has "
                f"{board_fit.arena_limit:,}",
                "prune with a budget of arena_bytes, or use a smaller input",
            )  # fmt: skip
        if not board_fit.flash_fits:
            yield Finding(
                "error", "flash-too-large",
                f"file and code need {board_fit.flash_bytes:,} bytes (estimated), but {board_fit.board} has "
                f"{board_fit.flash_limit:,}",
                "prune with a budget of flash_bytes",
            )  # fmt: skip
