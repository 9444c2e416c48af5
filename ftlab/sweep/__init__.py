"""Sweep: many runs of one config with other settings, shared out by a study. It trains nothing itself."""
