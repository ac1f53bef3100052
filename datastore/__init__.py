"""Versions: catalog, objects, fragments, manifests, commits, refs, statistics and ingest.

Knows nothing of views, judgement or people; the layers above compose its plain records and functions.
"""
