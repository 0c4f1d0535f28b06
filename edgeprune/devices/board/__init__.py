"""Boards that answer over a serial line: the protocol, and how it is spoken from this side."""
