"""Code that ``build_engine.py`` and ``tensorrt_runner.py`` share, see ``backends.self_contained``.

Needs Python 3.8 or newer and the standard library alone, as a board may have nothing else.
"""
