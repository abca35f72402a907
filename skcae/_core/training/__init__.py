"""Training in epochs: solvers, the rules that end it, and who trains together."""
