"""Models: loading them, their device and precision, chat prompts, the sampling engine and the cheaper forward."""

from rlvr.core.old_names import names_of

__getattr__ = names_of("rlvr.models.load")  # `rlvr.models` was the file load.py: what it holds is found here too
