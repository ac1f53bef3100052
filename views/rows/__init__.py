"""How the rows of a view are produced: streams from the beginning, and indexes that reach any row.

A view's steps become a chain of `rows.Rows`. Nothing is read before a stream is begun; an index is made when an order
needs it, and is kept as long as the view.
"""
