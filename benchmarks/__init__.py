"""Figures against peers and physical limits, measured in one run; `make bench` prints them all."""
