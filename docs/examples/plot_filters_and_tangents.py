"""
Filters and tangents
====================

What does a unit look for, and which changes of an input does the code notice? The first
are the rows of W, the same for all inputs. The second are the tangents: the leading
right singular vectors of the Jacobian, which differ from one input to the next.
"""

from sklearn.datasets import load_digits

from skcae import ContractiveAutoencoder
from skcae.inspection import FilterDisplay, TangentDisplay, singular_values

X = load_digits().data / 16
cae = ContractiveAutoencoder(
    n_components=100,
    jacobian_penalty=0.3,
    loss="cross_entropy",
    learning_rate=0.01,
    batch_size=20,
    random_state=0,
).fit(X)

# %%
# The filters of the units with the largest weights: red is positive, blue negative.

filters = FilterDisplay.from_estimator(cae, n_filters=36)

# %%
# A few digits, each with the six directions in which its code moves most: red and blue
# pixels change in opposite ways. They are other directions for each digit.

tangents = TangentDisplay.from_estimator(cae, X[:5], n_tangents=6)

# %%
# How much the code responds to each of them:

print(singular_values(cae, X[:5], n_values=6).sample_values.round(2))
