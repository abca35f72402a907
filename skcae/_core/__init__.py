"""Plain torch: layers, what a step of training is, training, and rows of data."""
