"""Measuring: sampling and scoring a model, metrics with intervals, and figures."""
