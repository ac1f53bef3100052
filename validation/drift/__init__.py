"""Drift: whether distributions moved by more than chance, and by enough to matter."""
