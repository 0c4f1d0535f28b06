"""Code that the runners of several backends share. ``self_contained`` writes it into each script for a device.

It is Python 3.8 and imports nothing of EdgePrune but other parts.
"""
