"""Weather observations and forecasts become features."""
