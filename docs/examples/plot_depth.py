"""
Contraction in depth
====================

Figure 3 of Rifai et al. (ICML 2011): each layer of a stack of contractive autoencoders
contracts further. The curves of deeper codes lie lower, and rise by a larger part
before they fall.
"""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skcae import StackedCAE
from skcae.inspection import ContractionCurveDisplay, saturation

X_train, X_valid = train_test_split(load_digits().data / 16, random_state=0)
stack = StackedCAE(
    hidden_layer_sizes=(100, 100, 100),
    jacobian_penalty=0.3,
    loss="cross_entropy",
    learning_rate=0.01,
    batch_size=20,
    random_state=0,
).fit(X_train)

# %%
# The first layers of a fitted stack are a pipeline, and a pipeline is an encoder.

depths = {f"depth {k}": make_pipeline(*stack.estimators_[:k]) for k in (1, 2, 3)}
display = ContractionCurveDisplay.from_estimator(depths, X_valid, random_state=0)

# %%
# More of the units are saturated, too:

for name, encoder in depths.items():
    ratio = display.ratios[name].mean
    print(
        f"{name}: {saturation(encoder, X_valid).mean():.0%} of the units saturated, "
        f"the curve rises by a factor of {ratio.max() / ratio[0]:.2f}"
    )
