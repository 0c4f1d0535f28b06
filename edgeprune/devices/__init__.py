"""Devices that run models. Each transport is one file. The package imports no torch, onnx or onnxruntime."""

from __future__ import annotations

import importlib
import pkgutil

from edgeprune.devices.base import Capability, Conversation, Device, Kind, Workspace, device
from edgeprune.devices.emulated import EmulatedMicrocontroller, Emulator
from edgeprune.devices.local import Local

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "Capability",
    "Conversation",
    "Device",
    "EmulatedMicrocontroller",
    "Emulator",
    "Kind",
    "Local",
    "Workspace",
    "device",
]
