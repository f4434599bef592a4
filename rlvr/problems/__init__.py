"""Problem sets: loading, checking, verifying and scoring answers."""

from rlvr.core.old_names import names_of

__getattr__ = names_of("rlvr.problems.sets")  # `rlvr.problems` was the file sets.py: what it holds is found here too
