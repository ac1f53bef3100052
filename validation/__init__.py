"""Judgement: schemas with versions, distribution checks, drift, reports and the publish gate."""
