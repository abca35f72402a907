"""What a fit survives: kills, much data, and generated cases."""
