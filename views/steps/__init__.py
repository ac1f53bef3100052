"""The steps of a view: plain data that is checked when it is written, and that says how rows pass through.

Steps that go row by row (`step.StreamStep`) take record batches and give record batches, and hold no more than the few
that are under way. Steps that order rows are carried out by `foldstore.views.rows`.
"""
