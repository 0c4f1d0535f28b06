"""Arm Ethos-U: int8 files of TFLite Micro, compiled by Vela for the accelerator."""
