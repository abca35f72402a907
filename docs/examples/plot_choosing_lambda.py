"""
Choosing λ
==========

λ is chosen by what the features are for. This example shows what changes with it: the
Jacobian gets smaller from the smallest λ on, the reconstruction worse and the units
more saturated, and a classifier of the codes is best in between. It also shows why λ
and the strength of the classifier's own penalty have to be chosen together.
"""

# %%
# What changes with λ
# -------------------
# A `PenaltyPathDisplay` fits a code with each λ on one half of the digits, and measures
# it on the other half. What judges the codes is a ridge that finds its own strength for
# each. Bands are one standard deviation over three splits.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import ShuffleSplit, train_test_split
from sklearn.svm import LinearSVC

from skcae import ContractiveAutoencoder
from skcae.inspection import PenaltyPathDisplay

X, y = load_digits(return_X_y=True)
X = X / 16
cae = ContractiveAutoencoder(
    n_components=64,
    loss="cross_entropy",
    max_iter=40,
    tol=0.01,
    random_state=0,
)
splits = ShuffleSplit(3, test_size=0.5, random_state=0)
display = PenaltyPathDisplay.from_estimator(cae, X, y, cv=splits)
plt.show()

# %%
# λ_max, from which on a code of tied weights may collapse, is the scale of the values
# that were tried. Here they are with their means:

names = ["score", "reconstruction_loss", "jacobian_norm"]
print("      λ     ", *names, sep="   ")
for row, penalty in enumerate(display.penalties):
    means = [display.measures[name][row].mean() for name in names]
    print(f"{penalty:8.4f} {means[0]:11.3f} {means[1]:17.1f} {means[2]:18.2f}")

# %%
# λ and C together
# ----------------
# With more contraction the codes of different images lie closer together, so that the
# same C means a stronger penalty on an SVM. On one of the splits much contraction harms
# with C = 0.1, and helps a little with C = 10.

X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.5, stratify=y, random_state=0
)
C_values = [0.1, 1, 10]
svm = LinearSVC(max_iter=20_000)
penalties = display.penalties[1:-1]


def errors(penalty):
    """Fit a code, and give the test error of an SVM with each C."""
    code = cae.set_params(jacobian_penalty=penalty).fit(X_train)
    codes, test_codes = code.transform(X_train), code.transform(X_test)
    svms = (svm.set_params(C=C).fit(codes, y_train) for C in C_values)
    return [100 * (1 - fitted.score(test_codes, y_test)) for fitted in svms]


fig, ax = plt.subplots(figsize=(4.8, 3.2), layout="constrained")
curves, basic = np.array([errors(penalty) for penalty in penalties]), errors(0.0)
styles = [("tab:orange", "s"), ("tab:blue", "o"), ("black", "^")]
for k, (C, (color, marker)) in enumerate(zip(C_values, styles, strict=True)):
    ax.semilogx(penalties, curves[:, k], color=color, marker=marker, label=f"C = {C:g}")
    ax.axhline(basic[k], color=color, linestyle=":")
ax.set_ylim(0, 1.05 * ax.get_ylim()[1])
ax.set_xlabel("λ; dotted: λ = 0")
ax.set_ylabel("SVM's test error, %")
ax.legend()
plt.show()

# %%
# In a search that is one grid over both parameters:
#
# .. code-block:: python
#
#     grid = jacobian_penalty_grid(X, loss="cross_entropy")  # of skcae.model_selection
#     GridSearchCV(pipeline, {"code__jacobian_penalty": grid, "svm__C": [1, 10]})
