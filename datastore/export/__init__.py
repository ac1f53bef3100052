"""Export: rows as files of other programs, whole or not at all, every value what it was or refused by name."""
