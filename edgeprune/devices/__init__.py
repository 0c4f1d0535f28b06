"""Live connections to things that can run a model. One file a transport; imports no torch, onnx or onnxruntime."""

from __future__ import annotations

from edgeprune.devices.base import Capability, Conversation, Device, Workspace
from edgeprune.devices.local import Local

__all__ = ["Capability", "Conversation", "Device", "Local", "Workspace"]
