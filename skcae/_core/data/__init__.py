"""Between NumPy and torch: rows of data by the batch and by the chunk, and files."""
