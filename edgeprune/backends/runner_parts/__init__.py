"""Code shared by the runners of several backends. ``self_contained`` inlines it into each script for a device.

It must run on Python 3.8 and import nothing of EdgePrune except other parts.
"""
