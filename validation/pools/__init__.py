"""Test pools: conditions, how many labels they need, and how often a pool may be asked.

Pure statistics: nothing here reads data or writes a store. A false answer anywhere in the tree of
possible answers has a probability of at most one minus the reliability that the plan was made for.
"""
