"""Demand-response events, baselines and settlement."""
