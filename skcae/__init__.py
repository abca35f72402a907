"""Contractive autoencoders as scikit-learn transformers on a torch core."""

from skcae._estimators.autoencoder import Autoencoder
from skcae._estimators.classifier import FineTunedClassifier
from skcae._estimators.contractive import ContractiveAutoencoder
from skcae._estimators.convolutional import ConvolutionalCAE
from skcae._estimators.deep import DeepCAE
from skcae._estimators.denoising import DenoisingAutoencoder
from skcae._estimators.module import ModuleAutoencoder
from skcae._estimators.patches import PatchEncoder
from skcae._estimators.regressor import FineTunedRegressor
from skcae._estimators.stacked import StackedCAE

__all__ = [
    "Autoencoder",
    "ContractiveAutoencoder",
    "ConvolutionalCAE",
    "DeepCAE",
    "DenoisingAutoencoder",
    "FineTunedClassifier",
    "FineTunedRegressor",
    "ModuleAutoencoder",
    "PatchEncoder",
    "StackedCAE",
    "__version__",
]

__version__ = "0.2.0"
