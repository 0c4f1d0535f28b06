"""Code shared by ``build_engine.py`` and ``tensorrt_runner.py``, see ``backends.self_contained``.

It must run on Python 3.8 with only the standard library, because a board may have no other packages.
"""
