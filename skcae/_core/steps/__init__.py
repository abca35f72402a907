"""What a step of training computes: the objective, and its gradient."""
