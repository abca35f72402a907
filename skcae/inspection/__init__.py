"""The geometry of a fitted encoder."""

from skcae.inspection._contraction import contraction_ratio
from skcae.inspection._measures import jacobian, jacobian_norm, saturation
from skcae.inspection._plot.contraction import ContractionCurveDisplay
from skcae.inspection._plot.filters import FilterDisplay
from skcae.inspection._plot.loss_curve import LossCurveDisplay
from skcae.inspection._plot.penalty_path import PenaltyPathDisplay
from skcae.inspection._plot.reconstruction import ReconstructionDisplay
from skcae.inspection._plot.robustness import RobustnessCurveDisplay
from skcae.inspection._plot.spectrum import JacobianSpectrumDisplay
from skcae.inspection._plot.tangents import TangentDisplay
from skcae.inspection._reconstruction import reconstruction_losses
from skcae.inspection._spectrum import singular_values, tangent_vectors
from skcae.inspection._walk import sample

__all__ = [
    "ContractionCurveDisplay",
    "FilterDisplay",
    "JacobianSpectrumDisplay",
    "LossCurveDisplay",
    "PenaltyPathDisplay",
    "ReconstructionDisplay",
    "RobustnessCurveDisplay",
    "TangentDisplay",
    "contraction_ratio",
    "jacobian",
    "jacobian_norm",
    "reconstruction_losses",
    "sample",
    "saturation",
    "singular_values",
    "tangent_vectors",
]
