"""Facts about operators in one table for each vocabulary (ATen, ONNX, TFLite). Each fact is in exactly one table.

Code that needs a fact reads it from a table, such as ``ATEN[name].keeps_zero``, and has no other lists of operator
names. ``tests/conformance/test_operator_facts.py`` computes the facts with the runtimes and searches the code for such
lists.
"""
