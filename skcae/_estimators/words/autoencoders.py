"""What the docstrings of autoencoders have in common: parameters and attributes."""

N_COMPONENTS = r"""
    n_components : int, default=256
        Number of hidden units.
"""

NOISE_ON_DEVICE = r"""
    noise_on_device : bool, default=False
        Whether the noise is drawn where the computing is, which saves its way to a
        card. The noise of a batch has a generator of its own there, seeded with the
        next number of `random_state`'s: the same seed gives the same noise on devices
        of one kind. Else it is drawn on the processor, and the same on all devices.
"""

HESSIAN_SAMPLES = (
    r"""
    hessian_noise : float or None, default=None
        Standard deviation σ, in the units of a layer's input, of the noise that the
        Hessian penalty is sampled with. None is the exact norm. A number puts in its
        place the stochastic term of CAE+H [2]_, divided by σ²,

        .. math::

            \frac{1}{\sigma^2} \, \mathbb{E}_{\varepsilon \sim N(0, \sigma^2 I)}
            \lVert J_f(x + \varepsilon) - J_f(x) \rVert_F^2,

        with fresh noise from `random_state` at each presentation of a row. It tends to
        the exact norm as σ tends to 0, so that γ means the same in both (the γ of [2]_
        is this one divided by σ²), and for larger σ looks further away. In float32, σ
        below 1e-5 of the data's scale is lost in rounding. A sample weight of 2 is
        then the row twice only on average. Not used if `hessian_penalty` is 0.

    n_hessian_samples : int, default=4
        How many noisy copies of each row the expectation is estimated with. Each adds
        two matrix products to the five of a step.
"""
    + NOISE_ON_DEVICE
)

LAYER = r"""
    activation : str, default="sigmoid"
        The encoder's elementwise φ: "sigmoid", "tanh", "relu", "softplus", "elu" or
        "identity". With "identity" the Jacobian penalty is weight decay,
        :math:`\lambda \lVert W \rVert_F^2`; with "relu" and "identity" it gives no
        gradient to the biases.

    loss : {"squared_error", "cross_entropy"}, default="squared_error"
        "squared_error" has a linear decoder and takes any real data.
        "cross_entropy" has a sigmoid decoder and is fitted on data in [0, 1]; it is
        the loss of [1]_.

    tied_weights : bool, default=True
        Whether the decoder's V is the encoder's W. Untied, with an unbounded
        activation, the encoder can shrink and the decoder grow at no cost.
"""

SPREAD = r"""
    bias_spread : float or "auto", default="auto"
        Standard deviation of the hidden biases that a fit starts from, in the units of
        pre-activations. "auto" is 3 for the sigmoid, 1.5 for "tanh" and 0 for the
        others: so much that units bend at different places, without which a code of
        many units is nearly linear. With 0 they all start at zero.
"""

SAMPLING = r"""
    reconstruction_sampling : float or None, default=None
        None is the reconstruction of all columns. A fraction p in (0, 1] is for sparse
        X: a step then reads and changes only the columns in which its batch has an
        entry and a sample of the others, a part p of them, drawn without replacement
        from `random_state`. Loss and penalty gradient of these weigh 1 / p, so that
        the gradient of a step, and the recorded loss, are those of all columns on
        average. With `solver="sgd"` it needs `momentum=0`. With "adam" the moments of a
        column advance only at steps that touch it, and their bias is corrected by the
        number of those: lazy Adam, the same as Adam for p = 1 alone, and
        without noise, which is drawn for the entries.
"""

SOLVER = r"""
    solver : {"adam", "sgd"}, default="adam"
        What minimises the objective.

    learning_rate : float or "auto", default="auto"
        Step size, at its largest. "auto" is 0.02, and less for units of many inputs d
        (features, units of the layer below, or weights of a filter): 0.02 (1000 / d)^¾
        from 1,000 on, or with `solver="sgd"` 0.02 · 500 / d from 500 on. With Adam
        and the squared error it is at most 0.16 of the root mean square of entries
        that are small, below 1/8.

    learning_rate_schedule : {"linear", "inverse", "constant"}, default="linear"
        Whether the rate rises over the first tenth of `max_iter` epochs and then falls
        to 0, both linearly, or stays for the first tenth and then falls as 1 / t, to a
        tenth of what it was, or stays.

    momentum : float, default=0.9
        Momentum of `solver="sgd"`, in [0, 1).

    batch_size : int or "auto", default="auto"
        Rows to a step. "auto" takes all rows if there are fewer than 64, else a
        fiftieth of them, but at least 20 and at most 100. The last batch of an epoch
        may be smaller.
"""

STOPPING = r"""
    max_iter : int, default=50
        Largest number of epochs.

    tol : float, default=1e-3
        Training has stalled when `n_iter_no_change` epochs have together lowered the
        objective by no more than `tol` times the objective of the first epoch, and
        stops. The linear schedule runs half of `max_iter` in any case, and after a
        stall lowers the rate to 0 over another `n_iter_no_change` epochs.

    early_stopping : bool, default=False
        Whether `tol` watches the objective, penalties included, of held-out data
        instead, and the weights of the epoch that was best on it are kept. To stop in
        the first half of `max_iter`, take the constant schedule.

    validation_fraction : float, default=0.1
        Fraction of the rows to hold out for early stopping when `fit` gets no `X_val`.

    n_iter_no_change : int or inf, default=5
        Number of epochs that `tol` looks back. With `np.inf` nothing stalls: all
        `max_iter` epochs are run.
"""

RUNNING = r"""
    shuffle : bool, default=True
        Whether each epoch takes the rows in a new order.

    device : str, torch.device or None, default=None
        Where to compute. None is where X is: the processor, or with scikit-learn's
        `array_api_dispatch` the device of X. Fitted attributes are NumPy arrays
        whatever the device, and a model whose device is missing here transforms on the
        processor. Dense data that fits in half of the memory that is free on a CUDA
        device moves there once, other data by the batch.

    random_state : int, RandomState instance or None, default=None
        Determines the initial weights, the order of the rows and the held-out ones.
        Pass an int for reproducible results. None draws a fresh seed from the
        operating system; NumPy's and torch's global generators stay what they are.

    verbose : int, default=0
        If positive, show the epochs: with `skcae.progress.EpochBar` if rich is
        installed and no meta-estimator runs the fit, else on the "skcae" logger.
"""

WARM_START = r"""
    warm_start : bool, default=False
        Whether `fit` goes on from the fitted weights and solver state.
"""

DATA_PARALLEL = r"""
    data_parallel : bool, default=False
        Whether `fit` is called by all processes of torch.distributed's default group
        together, each with rows of its own. They train one model, as if on the rows of
        all of them; a batch has `batch_size` rows of each.
"""

ATTRIBUTES = r"""
    components_ : ndarray of shape (n_components, n_features)
        The encoder's weights W.

    intercept_hidden_ : ndarray of shape (n_components,)
        The encoder's biases b.

    intercept_visible_ : ndarray of shape (n_features,)
        The decoder's biases c.

    decoder_components_ : ndarray of shape (n_components, n_features)
        The decoder's weights V. Only with `tied_weights=False`.

    n_iter_ : int
        Number of epochs run, those that `warm_start` and `partial_fit` went on from
        included.

    loss_curve_ : ndarray of shape (`n_iter_`,)
        The mean training objective of each epoch, as its steps saw it: the sum of the
        next two.

    reconstruction_curve_ : ndarray of shape (`n_iter_`,)
        The mean reconstruction loss of each epoch.

    penalty_curve_ : ndarray of shape (`n_iter_`,)
        The mean of the penalties of each epoch, each times its strength; 0 without any.

    validation_loss_curve_ : ndarray
        The objective of the held-out data after each epoch of the last fit. Only with
        `early_stopping=True`.

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if X had any.
"""

NETWORK_RECORD = ATTRIBUTES[ATTRIBUTES.index("\n    n_iter_ :") :]

NETWORK_ATTRIBUTES = (
    r"""
    parameters_ : dict of str to ndarray
        The weights and biases of the layers, by the names that torch has for those of
        a module, in the order in which they are applied: "encoder.0.weight",
        "encoder.0.bias", …, "decoder.0.bias". A decoder has weights of its own only
        with `tied_weights=False`, in the shape of those that they undo.
"""
    + NETWORK_RECORD
)

NETWORK_PENALTIES = r"""
    decoder_jacobian_penalty : float, default=0.0
        Strength μ of the contraction of the decoder, its output included. With
        untied weights an encoder can otherwise shrink, and the decoder grow, at no
        cost.

    jacobian_method : {"auto", "exact", "probes"}, default="auto"
        How the norms of Jacobians are found. "exact" is the norm itself: in closed
        form for one layer, and for more multiplied up, for as many rows at a time as
        fit in memory. "probes" is an unbiased estimate, see Notes. "auto" is exact in
        closed form, and where it takes no more than 32,768 multiplications a row. With
        probes a sample weight of 2 is the row twice only on average.

    n_probes : int, default=1
        How many probes there are for each row and step.
"""

WORDS = {
    "n_components": N_COMPONENTS,
    "Hessian samples": HESSIAN_SAMPLES,
    "noise on device": NOISE_ON_DEVICE,
    "layer": LAYER,
    "bias spread": SPREAD,
    "sampling": SAMPLING,
    "solver": SOLVER,
    "stopping": STOPPING,
    "warm start": WARM_START,
    "data parallel": DATA_PARALLEL,
    "running": RUNNING,
    "attributes": ATTRIBUTES,
    "network attributes": NETWORK_ATTRIBUTES,
    "network record": NETWORK_RECORD,
    "network penalties": NETWORK_PENALTIES,
}
