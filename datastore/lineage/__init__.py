"""Lineage: runs as they are recorded, and the graph of what came from what. Plain functions over the catalog."""
