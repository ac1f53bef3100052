"""Splits: which rows are for training, validation and test, once and for good.

Pure functions over Arrow columns; nothing here reads a store, a clock or a random generator.
"""
