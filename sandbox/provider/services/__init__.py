"""The types of each AWS service."""
