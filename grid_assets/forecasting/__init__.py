"""Demand and renewable forecasts with quantiles, and how good they were."""
