"""Forecasts of single meters: one model over all of them."""
