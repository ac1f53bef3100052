"""Schemas of other systems, read and written as plain data; what one side cannot say is named."""
