"""What the tests of the autoencoders of one layer share."""

from numpy.testing import assert_allclose

from skcae import ContractiveAutoencoder

LOSSES = ["squared_error", "cross_entropy"]


CONFIGURATIONS = [
    {"loss": loss, "tied_weights": tied, "activation": activation}
    for loss in LOSSES
    for tied in (True, False)
    for activation in ("sigmoid", "relu")
]


def sampled_contractive(**parameters):
    """Make a contractive autoencoder whose Hessian penalty is sampled."""
    sampled = {"hessian_penalty": 0.1, "hessian_noise": 0.2}
    return ContractiveAutoencoder(**{**sampled, **parameters})


def fitted_state(estimator):
    return {name: v for name, v in vars(estimator).items() if name.endswith("_")}


def assert_same_model(one, other, **tolerance):
    assert fitted_state(one).keys() == fitted_state(other).keys()
    for name in fitted_state(one):
        assert_allclose(
            getattr(one, name), getattr(other, name), err_msg=name, **tolerance
        )
