"""Feasibility: what error is possible at all, estimated before anybody trains a model.

The idea is Snoopy's (Renggli et al. 2022): the error of nearest neighbours in several embeddings bounds the Bayes
error from above and below (Cover and Hart 1967). Here each bound has an interval, and there is a third answer.
"""
