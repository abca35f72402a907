"""Contractive autoencoders as scikit-learn transformers on a torch core."""

from skcae._autoencoder import Autoencoder
from skcae._contractive import ContractiveAutoencoder
from skcae._denoising import DenoisingAutoencoder
from skcae._finetuned import FineTunedClassifier, FineTunedRegressor
from skcae._stacked import StackedCAE

__all__ = [
    "Autoencoder",
    "ContractiveAutoencoder",
    "DenoisingAutoencoder",
    "FineTunedClassifier",
    "FineTunedRegressor",
    "StackedCAE",
    "__version__",
]

__version__ = "0.2.0"
