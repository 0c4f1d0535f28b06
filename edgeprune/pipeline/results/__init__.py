"""Results of the stages of a build: everything that one stage hands to another.

Importing them imports no torch, so that a build whose stages are all cached stays quick. They are in several modules as
the key of a stage hashes the modules that it imports.
"""
