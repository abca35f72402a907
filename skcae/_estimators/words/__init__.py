"""What several docstrings have in common, a part for each name."""
