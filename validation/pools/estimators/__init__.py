"""Tests of one clause: their error probabilities, their thresholds and the rows that they need."""
