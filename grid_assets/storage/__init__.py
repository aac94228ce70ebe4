"""Storage schedules that absorb renewable energy and cut the peak."""
