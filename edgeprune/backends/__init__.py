"""Runtimes of targets, each in one file: how a model file is run there, and how accurate it is."""
