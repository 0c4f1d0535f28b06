"""Boards that are emulated on this machine: what they are, where they are installed, and how."""

from __future__ import annotations

from edgeprune.devices.emulation.emulator_image import BOARDS, Board, Image, find, folder
from edgeprune.devices.emulation.install_emulator import install

__all__ = ["BOARDS", "Board", "Image", "find", "folder", "install"]
