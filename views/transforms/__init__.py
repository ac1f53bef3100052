"""Transforms: steps fitted once on a train split, kept as plain data, equal for tables and for single rows."""
