"""Facts about operators: one table for each vocabulary (ATen, ONNX, TFLite), each fact in exactly one of them.

Code that needs a fact asks a table, such as ``ATEN[name].keeps_zero``. It has no list of operator names of its own.
``tests/conformance/test_operator_facts.py`` computes the facts with the runtimes and searches the code for such lists.
"""
