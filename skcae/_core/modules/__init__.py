"""Penalties of any torch module: plain autograd, and closed forms of what is known."""
