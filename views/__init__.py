"""Functions of versions: views and SQL. A view stores nothing; it is a specification over pinned versions."""
