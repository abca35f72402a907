"""The side of a fit that scikit-learn sees: parameters, data and fitted state."""
