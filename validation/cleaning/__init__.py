"""Cleaning: what is probably wrong, what would repair it, and what a repair would change before it is made."""
