"""Generation of C99 from int8 TFLite files: a network without an interpreter."""
