"""Sample in this process: an engine that decodes whole groups; vLLM goes through TRL."""

from rlvr.models.sampling.by_generate import GenerateEngine
from rlvr.models.sampling.engine import Engine, Samples
from rlvr.models.sampling.sampler import Sampling
from rlvr.models.sampling.steered import Steered

__all__ = ["Engine", "GenerateEngine", "Samples", "Sampling", "Steered"]
