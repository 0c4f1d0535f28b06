"""Emulated boards: descriptions, folders and installation."""

from __future__ import annotations

from edgeprune.devices.emulation.emulator_image import BOARDS, Board, Image, find, folder
from edgeprune.devices.emulation.install_emulator import install

__all__ = ["BOARDS", "Board", "Image", "find", "folder", "install"]
