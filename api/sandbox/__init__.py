"""SQL of strangers: each query in a process of its own that holds the rows it may read, and can do nothing else."""
