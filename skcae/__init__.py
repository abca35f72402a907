"""Contractive autoencoders as scikit-learn transformers on a torch core."""

from skcae._contractive import ContractiveAutoencoder

__all__ = ["ContractiveAutoencoder", "__version__"]

__version__ = "0.1.0"
