"""Between NumPy and torch: rows of data, and passes over them."""
