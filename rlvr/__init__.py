"""rlvr: a laboratory for reinforcement learning with verifiable rewards on small language models."""
