"""The catalog as tables that SQL can ask: what they are called, what their columns mean, how they are filled.

Nothing here reads a row of a dataset. Zones, ledgers and the sealed area stay out of every table.
"""
