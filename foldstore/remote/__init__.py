"""A store over the network: the handles of `foldstore`, which ask a server in place of a folder."""
