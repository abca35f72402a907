"""Layers, alone and one after the other, and their Jacobians."""
