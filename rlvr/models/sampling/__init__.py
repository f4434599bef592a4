"""Sample in this process: an engine that decodes whole groups, or vLLM (in training that goes through TRL)."""

from rlvr.models.sampling.engine import Engine, Samples
from rlvr.models.sampling.sampler import Sampling
from rlvr.models.sampling.steered import Steered

__all__ = ["Engine", "Samples", "Sampling", "Steered"]
