"""TensorRT on Jetson boards: files as it wants them, and what its tools and its boards print.

Engines are built and measured on the board, by ``build_engine.py`` and ``tensorrt_runner.py``.
"""
