"""Bias in data, measured before a model is trained: how a label is shared out over a sensitive column.

The measures are the pre-training set of Amazon SageMaker Clarify (Das et al. 2021, Fairness Measures for
Machine Learning in Finance), computed from counts alone.
"""
