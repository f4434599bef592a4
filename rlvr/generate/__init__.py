"""The in-process rollout engine; vLLM goes through TRL."""

from rlvr.generate.engine import Engine, Samples
from rlvr.generate.sampler import Sampling
from rlvr.generate.steered import Steered

__all__ = ["Engine", "Samples", "Sampling", "Steered"]
