"""
Higher-order contraction
========================

The Jacobian penalty asks the code to hold still at the examples. A penalty on the
second derivatives (CAE+H, Rifai et al., ECML PKDD 2011) asks it to go on doing so
around them: the contraction curve rises less, and with a larger γ not at all.
"""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skcae import ContractiveAutoencoder
from skcae.inspection import ContractionCurveDisplay

X_train, X_valid = train_test_split(load_digits().data / 16, random_state=0)


def fitted(**penalties):
    """Fit an encoder that differs only in its penalties."""
    return ContractiveAutoencoder(
        n_components=100,
        jacobian_penalty=0.3,
        loss="cross_entropy",
        learning_rate=0.01,
        batch_size=20,
        random_state=0,
        **penalties,
    ).fit(X_train)


# %%
# γ = ``hessian_penalty`` weighs ‖H_f(x)‖²_F, which has a closed form. The paper
# estimates it from differences between the Jacobian at an example and at corrupted
# copies of it; ``hessian_noise`` asks for that, on the same scale of γ.

encoders = {
    "γ = 0": fitted(),
    "γ = 0.1": fitted(hessian_penalty=0.1),
    "γ = 0.3": fitted(hessian_penalty=0.3),
    "γ = 0.3, with noise": fitted(hessian_penalty=0.3, hessian_noise=0.1),
}
display = ContractionCurveDisplay.from_estimator(encoders, X_valid, random_state=0)

# %%
# The closed form and its estimate give nearly the same curve.

for name, ratio in display.ratios.items():
    print(f"{name:20} rises by a factor of {ratio.mean.max() / ratio.mean[0]:.2f}")
