"""Import of the TFLite schema from ai-edge-litert, and of the flatbuffers library."""

from __future__ import annotations

from edgeprune import extras

with extras.required("tflite"):
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

__all__ = ["flatbuffers", "schema"]
