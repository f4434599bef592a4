"""The in-process rollout engine; vLLM goes through TRL."""

from rlvr.generate.engine import Engine, Samples
from rlvr.generate.sampler import Sampling

__all__ = ["Engine", "Samples", "Sampling"]
