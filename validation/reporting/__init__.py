"""The forms that reports take: for terminals, pages and notebooks, and for machines."""
