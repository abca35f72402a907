"""The penalties on the derivatives of any encoder."""

from collections.abc import Callable

import torch
from torch import Tensor

from skcae._core.modules.derivatives import Probes
from skcae._core.modules.modes import never_compiled
from skcae._core.modules.norms import change_norms, hessian_norms, jacobian_norms
from skcae.functional._arguments import (
    check_generator,
    check_integer,
    check_noise,
    check_one_of,
    check_rows,
)

METHODS = ("auto", "exact", "probes")
REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": torch.mean,
    "sum": torch.sum,
    "none": lambda norms: norms,
}


@never_compiled
def jacobian_penalty(
    encoder: Callable[[Tensor], Tensor],
    X: Tensor,
    *,
    method: str = "auto",
    n_probes: int = 1,
    generator: torch.Generator | None = None,
    reduction: str = "mean",
    check: bool = True,
) -> Tensor:
    r"""Compute the squared Frobenius norm of an encoder's Jacobian.

    For each row x it is :math:`\lVert J_f(x) \rVert_F^2 = \sum_{ki} (\partial f_k /
    \partial x_i)^2`, over all entries of the code and of the row: neither halved nor
    divided by their numbers [1]_. It can be differentiated by the encoder's parameters
    and by X, with `torch.autograd` and not within the transforms of `torch.func`. Under
    `no_grad` it has the same value, without a graph.

    Parameters
    ----------
    encoder : torch.nn.Module or callable
        From rows of shape (n, ...) to codes of shape (n, ...), each a function of its
        row alone. Modules in it are called as they are, in training mode or not.

    X : Tensor of shape (n, ...)
        Rows, of floating-point numbers. Under autocast, too, all is computed in float32
        at least.

    method : {"auto", "exact", "probes"}, default="auto"
        How. "auto" is exact where that is cheap, and else takes probes:

        - In closed form, for about one more forward pass, of modules that are one
          `Linear`, `Conv1d`, `Conv2d` or `Conv3d` padded with zeros, followed by any
          elementwise activations of torch without parameters (not `Hardsigmoid`,
          which torch differentiates only once), max-pooling and
          `Flatten`, in `Sequential` or alone: exactly of these classes, and without
          hooks or parametrizations. For a convolution what its filters have beyond the
          border does not count.
        - "probes" draws random signs u for the code and takes ‖Jᵀu‖², whose mean is
          ‖J‖² [2]_, by differentiating twice.
        - "exact" takes the closed form if there is one. Of several `Linear` with such
          activations it multiplies the matrices of each row, and else goes through the
          code entry by entry, a backward pass each; both in bounded memory.

    n_probes : int, default=1
        How many u are drawn for each row. The variance of the mean of so many is
        2 (‖G‖²_F − Σ_i G_ii²) / n_probes, where G = JJᵀ.

    generator : torch.Generator, default=None
        Where probes are drawn, and on what device; by default torch's own of X's. An
        objective that is compared between epochs wants the same probes each time.

    reduction : {"mean", "sum", "none"}, default="mean"
        Over rows; "none" gives one number for each.

    check : bool, default=True
        Whether to make sure that rows do not mix. Layers that are known to mix them, or
        to be random, are looked for at each call. Without a closed form an encoder is
        also tried out, on the first rows that it gets and when its modes have changed:
        keep one function for that, and do not write a new lambda in each step.

    Returns
    -------
    penalty : Tensor of shape () or (n,)
        Of X's dtype, or float32 if that is wider.

    Raises
    ------
    TypeError
        If X or the codes are no tensor of floating-point numbers, or a parameter is of
        the wrong type.
    ValueError
        If a parameter has a value that is not allowed, there is not one code for each
        row, the codes have no derivative, or rows mix or draw at random.

    See Also
    --------
    hessian_penalty : The same for second derivatives.
    skcae.inspection.jacobian_norm : The norm of a fitted estimator.

    References
    ----------
    .. [1] S. Rifai, P. Vincent, X. Muller, X. Glorot and Y. Bengio, "Contractive
       Auto-Encoders: Explicit Invariance During Feature Extraction", ICML 2011.

    .. [2] M. F. Hutchinson, "A Stochastic Estimator of the Trace of the Influence
       Matrix for Laplacian Smoothing Splines", Communications in Statistics -
       Simulation and Computation 19(2), 1990.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from skcae.functional import jacobian_penalty
    >>> generator = torch.Generator().manual_seed(0)
    >>> X = torch.randn(64, 1, 28, 28, generator=generator)
    >>> encoder = nn.Sequential(
    ...     nn.Conv2d(1, 8, 5, padding=2), nn.Sigmoid(), nn.MaxPool2d(2)
    ... )
    >>> penalty = jacobian_penalty(encoder, X)
    >>> penalty.backward()

    That is exact, as :math:`J` itself shows:

    >>> J = torch.func.vmap(torch.func.jacrev(encoder))(X[:2])
    >>> exact = J.square().flatten(1).sum(1)
    >>> norms = jacobian_penalty(encoder, X[:2], reduction="none")
    >>> torch.allclose(norms, exact)
    True

    A deep encoder gets an estimate, which is right on average:

    >>> deep = nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 4), nn.Tanh())
    >>> x = torch.randn(8, generator=generator).expand(10_000, 8)
    >>> estimate = jacobian_penalty(deep, x, generator=generator)
    >>> exact = jacobian_penalty(deep, x[:1], method="exact")
    >>> bool((estimate / exact - 1).abs() < 0.1)
    True
    """
    check_arguments(encoder, X, method, n_probes, generator, reduction)
    probes = Probes(int(n_probes), generator)
    norms = jacobian_norms(encoder, X, method=method, probes=probes, check=check)
    return REDUCTIONS[reduction](norms)


@never_compiled
def hessian_penalty(
    encoder: Callable[[Tensor], Tensor],
    X: Tensor,
    *,
    noise: float | None = None,
    n_samples: int = 4,
    method: str = "auto",
    n_probes: int = 1,
    generator: torch.Generator | None = None,
    reduction: str = "mean",
    check: bool = True,
) -> Tensor:
    r"""Compute the squared Frobenius norm of an encoder's second derivative.

    For each row x it is :math:`\lVert H_f(x) \rVert_F^2 = \sum_{kij} (\partial^2 f_k /
    \partial x_i \partial x_j)^2`. With `noise` it is what [1]_ penalises instead, the
    mean over noisy copies of the row of

    .. math::

        \lVert J_f(x + \varepsilon) - J_f(x) \rVert_F^2 / \sigma^2,
        \quad \varepsilon \sim N(0, \sigma^2 I),

    which tends to it as :math:`\sigma` tends to 0. Both are on the scale of
    `hessian_penalty` of `skcae.ContractiveAutoencoder`.

    Parameters
    ----------
    encoder : torch.nn.Module or callable
        See `jacobian_penalty`. Of an encoder without curvature, as all of ReLU and
        linear layers are, the norm is 0, and with `noise` not.

    X : Tensor of shape (n, ...)
        Rows, of floating-point numbers.

    noise : float, default=None
        The standard deviation σ of the noise, in the units of X, or None for the second
        derivative itself.

    n_samples : int, default=4
        How many noisy copies of each row.

    method : {"auto", "exact", "probes"}, default="auto"
        See `jacobian_penalty`. "exact" without a closed form takes a backward pass for
        each pair of an entry of the code and, without `noise`, one of the row. "probes"
        differentiates a random combination of the code's entries, once more along a
        random direction, or at a row and at its copies. Of noisy copies there is no
        closed form after max-pooling.

    n_probes : int, default=1
        How many probes are drawn for each row.

    generator : torch.Generator, default=None
        Where noise and then probes are drawn; by default torch's own of X's device.

    reduction : {"mean", "sum", "none"}, default="mean"
        Over rows; "none" gives one number for each.

    check : bool, default=True
        Whether to make sure that rows do not mix, see `jacobian_penalty`.

    Returns
    -------
    penalty : Tensor of shape () or (n,)
        Of X's dtype, or float32 if that is wider.

    Raises
    ------
    TypeError
        If X or the codes are no tensor of floating-point numbers, or a parameter is of
        the wrong type.
    ValueError
        If a parameter has a value that is not allowed, there is not one code for each
        row, the codes have no derivative, or rows mix or draw at random.

    See Also
    --------
    jacobian_penalty : The same for first derivatives.

    References
    ----------
    .. [1] S. Rifai, G. Mesnil, P. Vincent, X. Muller, Y. Bengio, Y. Dauphin and
       X. Glorot, "Higher Order Contractive Auto-Encoder", ECML PKDD 2011.

    Examples
    --------
    One unit with ‖W‖ = 2, at a = 0 where the second derivative of tanh is 0, and at
    a = 1:

    >>> import torch
    >>> from torch import nn
    >>> from skcae.functional import hessian_penalty
    >>> encoder = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Tanh())
    >>> _ = encoder[0].weight.data.copy_(torch.tensor([[2.0, 0.0]]))
    >>> X = torch.tensor([[0.0, 1.0], [0.5, 1.0]])
    >>> hessian_penalty(encoder, X, reduction="none").detach()
    tensor([0.0000, 6.5475])
    """
    check_arguments(encoder, X, method, n_probes, generator, reduction)
    probes = Probes(int(n_probes), generator)
    if noise is None:
        norms = hessian_norms(encoder, X, method=method, probes=probes, check=check)
    else:
        check_noise(noise)
        check_integer("n_samples", n_samples)
        norms = change_norms(
            encoder,
            X,
            noise=float(noise),
            n_copies=int(n_samples),
            method=method,
            probes=probes,
            check=check,
        )
    return REDUCTIONS[reduction](norms)


def check_arguments(
    encoder: object,
    X: object,
    method: object,
    n_probes: object,
    generator: object,
    reduction: object,
) -> None:
    """Refuse what either penalty cannot take."""
    if not callable(encoder):
        raise TypeError(
            "encoder must be a torch module or a function from rows to codes. Got "
            f"{encoder!r}."
        )
    check_rows(X)
    check_one_of("method", method, METHODS)
    check_integer("n_probes", n_probes)
    check_generator(generator)
    check_one_of("reduction", reduction, tuple(REDUCTIONS))
