"""Settings of a run and of a measurement, and the recipes that set them."""

from rlvr.core.old_names import names_of

__getattr__ = names_of(
    "rlvr.config.settings"
)  # `rlvr.config` was the file settings.py: what it holds is found here too
