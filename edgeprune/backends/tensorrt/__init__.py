"""TensorRT on Jetson boards: model files, runner scripts, and parsers for the output of its tools.

The scripts ``build_engine.py`` and ``tensorrt_runner.py`` build and measure engines on the board.
"""
