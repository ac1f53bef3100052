"""Verification: everything that a store keeps against what was written, what is damaged by it, and safe repairs."""
