"""Online lookups: a feature view laid out in one mapped file, and what it knows of an entity at an instant."""
