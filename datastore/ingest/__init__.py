"""Ingest: whatever a user has, as a schema and one pass of record batches in bounded memory."""
