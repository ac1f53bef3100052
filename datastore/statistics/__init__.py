"""Mergeable statistics: what a fragment, a version or a segment looks like, whatever way it was cut."""
