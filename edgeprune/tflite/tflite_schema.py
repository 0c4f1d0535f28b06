"""The schema of TFLite files, from ai-edge-litert, and the library that writes them."""

from __future__ import annotations

from edgeprune import extras

with extras.required("tflite"):
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

__all__ = ["flatbuffers", "schema"]
