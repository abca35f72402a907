"""What the docstrings of measures and displays have in common."""

ENCODER = r"""
    encoder : fitted estimator
        An autoencoder of skcae, a `StackedCAE`, scikit-learn's `BernoulliRBM`, or a
        `Pipeline` that ends with some of them.
"""

WHERE_TO_MEASURE = r"""
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Where to measure.
"""

NO_ENCODER = r"""
    TypeError
        If the encoder is none of these.
    NotFittedError
        If it is not fitted.
"""

AXES = r"""
    ax_ : matplotlib Axes
        Where it is drawn.

    figure_ : matplotlib Figure
        The figure of the axes.
"""

AX = r"""
        ax : matplotlib Axes, default=None
            Where to draw; by default in a new figure.
"""

PLOT_PARAMETERS = r"""
        **plot_parameters : dict
            Passed to `plot`.
"""

LINE_KW = r"""
        line_kw : dict, default=None
            Passed to matplotlib's `plot` of each curve.
"""

IMAGE_SHAPE = r"""
    image_shape : tuple of int, default=None
        (height, width), or (height, width, 3) for colours; a square by default.
"""

WORDS = {
    "encoder": ENCODER,
    "where to measure": WHERE_TO_MEASURE,
    "no encoder": NO_ENCODER,
    "axes": AXES,
    "ax": AX,
    "plot parameters": PLOT_PARAMETERS,
    "line_kw": LINE_KW,
    "image shape": IMAGE_SHAPE,
}
