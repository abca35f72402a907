"""What a fit survives, and what its tests notice."""
