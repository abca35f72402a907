"""The public estimators, one to a file."""
