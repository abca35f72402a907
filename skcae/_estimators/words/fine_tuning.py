"""What the docstrings of the fine-tuned estimators have in common."""

from skcae._estimators.words.autoencoders import NOISE_ON_DEVICE, RUNNING, SOLVER


def put_into(part: str, old: str, new: str) -> str:
    """Return a part with other words in the place of some that it has."""
    if old not in part:
        raise ValueError(f"There is no {old!r} to be replaced in {part[:60]!r}.")
    return part.replace(old, new)


STOPPING_OF_FINE_TUNING = r"""
    max_iter : int, default=100
        Largest number of epochs of fine-tuning.

    tol : float, default=1e-3
        Fine-tuning has stalled when `n_iter_no_change` epochs have together lowered
        the objective by no more than `tol` times the objective of the first epoch, and
        stops. The linear schedule runs half of `max_iter` in any case, and after a
        stall lowers the rate to 0 over another `n_iter_no_change` epochs.

    early_stopping : bool, default=False
        Whether `tol` watches the error of held-out data instead, and the network of
        the epoch that was best on it, the last of several, is kept. To stop in the
        first half of `max_iter`, take the constant schedule.

    validation_fraction : float, default=0.1
        Fraction of the labelled rows to hold out for early stopping when `fit` gets no
        `X_val`. They take part in pre-training.

    n_iter_no_change : int or inf, default=5
        Number of epochs that `tol` looks back. With `np.inf` nothing stalls: all
        `max_iter` epochs are run.
"""

TANGENTS = r"""
    tangent_penalty : float, default=0.0
        Strength of the penalty on the outputs' change along the tangents of rows, see
        Notes. 0 computes no tangents.

    tangent_output : {"prediction", "linear"}, default="prediction"
        What is not to change along them: the prediction, for a classifier its
        probabilities, or the linear output that it is made of. Where a network is sure,
        its probabilities change little in any case, and its linear outputs still do.

    n_tangents : int, default=15
        Number of tangents of each row, at most min(n_components, n_features) of the
        encoder. So many vectors of each row are in memory, in the data's precision.

    n_tangent_rows : int or None, default=None
        At how many rows of X and `X_unlabeled`, of which each step draws as many as its
        batch has. None: at those that are fine-tuned on.
"""

RUNNING_OF_FINE_TUNING = put_into(
    RUNNING,
    "Determines the initial weights, the order of the rows and the held-out ones.",
    "Determines the output layer's initial weights, the order of the rows and the\n"
    "        held-out ones. The encoder has its own `random_state`.",
)

SOLVER_OF_REGRESSION = (
    put_into(
        put_into(
            put_into(SOLVER, 'float or "auto", default="auto"', "float, default=0.01"),
            """ "auto" is 0.02, and less for units of many inputs d
        (features, units of the layer below, or weights of a filter): 0.02 (1000 / d)^¾
        from 1,000 on, or with `solver="sgd"` 0.02 · 500 / d from 500 on. With Adam
        and the squared error it is at most 0.16 of the root mean square of entries
        that are small, below 1/8.""",
            "",
        ),
        """else a
        fiftieth of them, but at least 20 and at most 100. The last batch of an epoch
        may be smaller.""",
        """else 100.
        The last batch of an epoch may be smaller.""",
    )
    + r"""
    encoder_rate_factor : float or "auto", default=1.0
        The learning rate of the encoder's layers is `learning_rate` times this: 1
        trains all layers alike, 0 the output layer alone. "auto" is
        :math:`(n / 10\,000)^{3/2}` for n labelled rows, at least 0.001 and at most 1:
        few labels change little of what the encoder has learnt from all rows.

    alpha : float, default=0.5
        Strength of the L2 penalty :math:`\frac{\alpha}{2 n} \lVert W \rVert_F^2` on
        the output layer's weights W, with n labelled rows. In a classifier it is the
        1/C of `LogisticRegression`. Up to 100 rows n is 100, so that in full batches a
        row of weight 2 is the row twice.

    corruption : {"gaussian", "masking"}, default="gaussian"
        What corrupts the rows in fine-tuning, as in a `DenoisingAutoencoder`:
        "gaussian" adds independent normal noise to each feature, "masking" sets each
        feature to 0 or leaves it, at random. The noise is fresh at each presentation,
        on what the first layer takes, after the preprocessing. Held-out rows have none.

    corruption_level : float, default=0.0
        For "gaussian" the standard deviation of the noise; for "masking" the
        probability with which a feature is set to 0. 0 is no noise.
"""
    + NOISE_ON_DEVICE
)

SOLVER_OF_CLASSIFICATION = put_into(
    put_into(SOLVER_OF_REGRESSION, "float, default=0.01", "float, default=0.03"),
    '"auto", default=1.0',
    '"auto", default="auto"',
)

FINE_TUNED_LAYERS = r"""
    encoder_ : estimator
        The encoder before fine-tuning.

    coefs_ : list of ndarray of shape (n_inputs, n_outputs)
        The weights of each layer, from the input up, the output layer last.

    intercepts_ : list of ndarray of shape (n_outputs,)
        The biases of each layer.

    hidden_parameters_ : dict of str to ndarray
        The weights and biases of the encoder's layers, only where not all of them are
        dense. `coefs_` and `intercepts_` are then those of the output layer alone.
"""

FINE_TUNED_CURVES = r"""
    loss_curve_ : ndarray of shape (`n_iter_`,)
        The mean objective of each epoch of fine-tuning, as its steps saw it.

    penalty_curve_ : ndarray of shape (`n_iter_`,)
        The part of it that is penalties: on the output layer's weights, and on changes
        along tangents.
"""

FINE_TUNED_RECORD = r"""
    n_iter_ : int
        Number of epochs of fine-tuning.

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if X had any.
"""

WORDS = {
    "running of fine-tuning": RUNNING_OF_FINE_TUNING,
    "solver of classification": SOLVER_OF_CLASSIFICATION,
    "solver of regression": SOLVER_OF_REGRESSION,
    "stopping of fine-tuning": STOPPING_OF_FINE_TUNING,
    "tangents": TANGENTS,
    "fine-tuned layers": FINE_TUNED_LAYERS,
    "fine-tuned curves": FINE_TUNED_CURVES,
    "fine-tuned record": FINE_TUNED_RECORD,
}
