"""Orders of rows: pure functions from a seed, an epoch and numbers of rows to who comes when.

Nothing here reads rows or remembers anything: every order can be computed from its middle. The algorithm is named
`order/v1`; golden vectors in the tests hold it still.
"""
