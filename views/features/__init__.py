"""Features: definitions of what is known about an entity, and joins that look only at the past."""
