"""Boards on a serial port: the protocol and its client."""
