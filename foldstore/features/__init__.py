"""A store's features: definitions that were applied, joins into the past, training sets, lookups."""
