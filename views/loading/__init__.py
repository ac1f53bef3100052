"""Views in training: batches of a fixed size, shared among processes, resumed where they stopped."""
