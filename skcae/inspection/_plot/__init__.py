"""Pictures of the geometry of an encoder; matplotlib is imported when one is drawn."""
