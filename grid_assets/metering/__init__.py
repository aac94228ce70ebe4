"""Meter files become readings: landing, validation, estimation, aggregation."""
