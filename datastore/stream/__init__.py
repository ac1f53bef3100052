"""Endless input as versions: a durable log of what was acknowledged, cuts, and a window of what is kept."""
