"""An autoencoder of several layers that are trained together.

For a batch of n rows with weights w_i,

    objective = 1/n Σ_i w_i ( L(x_i, z_i) + λ ‖J_f(x_i)‖²_F + μ ‖J_g(f(x_i))‖²_F )

with the Jacobian J_f of the whole encoder, and J_g of the whole decoder, its output
included. Of one affine layer, also under max-pooling, the norm is in closed
form. Of more it is either multiplied up, or estimated with probes: for a vector v of
independent signs

    E ‖Jᵀ v‖² = ‖J‖²_F,  Jᵀ v = W_1ᵀ D_1 ⋯ W_Kᵀ D_K v,

which is one more pass through the layers, backwards. Torch differentiates what is
computed here, once: no derivative of a derivative is taken. For one convolution each
way the gradient is in closed form, too (closed.py).
"""

from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from skcae._core.data.arrays import Array, make_generator
from skcae._core.data.evaluation import mean_over_rows
from skcae._core.data.rows import CHUNK_ELEMENTS
from skcae._core.data.streams import TrainingRows
from skcae._core.data.tensors import MatrixRows
from skcae._core.layers.chain import Chain
from skcae._core.layers.gradient import derivatives
from skcae._core.layers.layer import Parameters
from skcae._core.layers.network import Architecture, DenseArchitecture, Network
from skcae._core.layers.output import OutputLayer
from skcae._core.steps.closed import ClosedForm, closed_form
from skcae._core.steps.mirrored import MirroredStep
from skcae._core.steps.objective import weighted_sums
from skcae._core.steps.step import Probes, Step, StepByParts
from skcae._core.training.ranks import ALONE, Ranks
from skcae._core.training.solvers import Solver
from skcae.activations import Activation
from skcae.losses import Loss


@dataclass(frozen=True)
class JointObjective:
    """What the layers of a network are to lower together.

    Parameters
    ----------
    architecture : Architecture
        The layers.
    loss : Loss
        L.
    strength, decoder_strength : float
        λ and μ.
    n_probes, n_decoder_probes : int
        How many probes estimate each norm; 0 is the norm itself.
    """

    architecture: Architecture
    loss: Loss
    strength: float = 0.0
    decoder_strength: float = 0.0
    n_probes: int = 0
    n_decoder_probes: int = 0

    @property
    def activation(self) -> Activation | None:
        """That of the code, if it has one."""
        return self.architecture.activation

    def coder(self, parameters: Parameters) -> Network:
        """Return the layers of which this is the objective."""
        return self.architecture.network(parameters)

    def probes(self, network: Network, n: int, generator: torch.Generator) -> Probes:
        """Draw the probes of n rows, where and in the precision that the layers are."""
        encoder, decoder = network.encoder, network.decoder
        # A module need not have any, but not both are without.
        like = next(iter({**encoder.parameters, **decoder.parameters}.values()))
        shapes = (
            (self.strength and self.n_probes, encoder.n_components),
            (self.decoder_strength and self.n_decoder_probes, decoder.n_components),
        )
        of_code, of_output = (
            signs((n, int(k), size), generator).to(like) if k else None
            for k, size in shapes
        )
        return of_code, of_output

    def values(
        self, network: Network, X: Tensor, probes: Probes
    ) -> tuple[Tensor, Tensor | None]:
        """Return z of each row, (n, d), and the sum of its penalties, (n,), if any."""
        # (35); the rows are the first axis of all.
        of_code, of_output = probes
        if self.strength:
            outputs, states = network.encoder.linearized(X)
            H, penalty = outputs[-1], squared_norms(network.encoder, states, of_code)
            penalty = self.strength * penalty
        else:
            H, penalty = network.encode(X), None
        if not self.decoder_strength:
            return network.pre_outputs(H), penalty
        output = OutputLayer(self.loss.output, network.decoder.n_components)
        decoder = Chain((*network.decoder.layers, output))
        (*_, Z, _), states = decoder.linearized(H)
        norms = squared_norms(decoder, states, of_output)
        own = self.decoder_strength * norms
        return Z, own if penalty is None else penalty + own

    def per_sample(self, network: Network, X: Tensor, probes: Probes) -> Tensor:
        """Return loss plus penalties for each row, (n,)."""
        # (35) without its weights.
        Z, penalty = self.values(network, X, probes)
        losses = self.loss.value(X, Z)
        return losses if penalty is None else losses + penalty

    def totals_and_gradient(
        self,
        parameters: Parameters,
        X: Tensor,
        weights: Tensor | None,
        probes: Probes,
    ) -> tuple[Tensor, Parameters]:
        """Return loss and penalties, (2,), and the objective's gradient by parameter.

        All are sums over the rows, the first axis of X, with their weights. Torch is to
        differentiate by the parameters.
        """
        with torch.enable_grad():
            Z, penalty = self.values(self.coder(parameters), X, probes)
        losses = self.loss.value(X, Z.detach())
        # dZ = w ∂L/∂z, as in (11).
        dZ = self.loss.gradient_in_place(X, Z.detach().clone())
        ends, starts = [Z], [dZ if weights is None else dZ.mul_(weights[:, None])]
        if penalty is not None:
            ends.append(penalty)
            starts.append(torch.ones_like(losses) if weights is None else weights)
        penalties = None if penalty is None else penalty.detach()
        totals = weighted_sums(losses, penalties, weights)
        try:
            gradient = derivatives(ends, starts, list(parameters.values()))
        except RuntimeError as error:
            if "is not implemented" not in str(error):
                raise
            raise ValueError(
                "torch differentiates a layer only once, but a penalty on its Jacobian "
                f"takes two derivatives: {error}. Take another layer, or set its "
                "penalty to 0."
            ) from error
        return totals, dict(zip(parameters, gradient, strict=True))

    # ---- what computes a step ---------------------------------------------------

    def step(self, parameters: Parameters, n: int) -> Step:
        """Return what computes steps of up to n rows, without a graph if it can."""
        network = self.coder(parameters)
        mirrored, form = self.mirrored(network, n), self.closed_form(network)
        if mirrored is not None:
            return mirrored
        # The same memory, by which torch is to differentiate.
        leaves = {
            name: part.detach().requires_grad_() for name, part in parameters.items()
        }
        by_torch = partial(self.totals_and_gradient, leaves)
        some = next(iter(parameters.values()))
        memory = some.new_empty((n, network.encoder.n_features))
        # What is multiplied up for an exact norm is held for so many rows at a time.
        n_at_once = max(1, CHUNK_ELEMENTS // self.numbers_per_row(network))
        if form is None:
            return StepByParts(by_torch, memory, n_at_once)
        # It takes a few rows at a time by itself.
        of_all = partial(form.totals_and_gradient, n_at_once=n_at_once)
        return StepByParts(of_all, memory, n)

    def mirrored(self, network: Network, n: int) -> MirroredStep | None:
        """Return the step by hand of dense layers with one probe, if these are such."""
        is_dense = isinstance(self.architecture, DenseArchitecture)
        has_one_probe = self.n_probes == 1 or not self.strength
        if not is_dense or not has_one_probe or self.decoder_strength:
            return None
        return MirroredStep(network, self.loss, self.strength, n)

    def closed_form(self, network: Network) -> ClosedForm | None:
        """Return what has the gradient of a network in closed form, if anything."""
        if self.decoder_strength or (self.strength and self.n_probes):
            return None
        return closed_form(network, self.loss, self.strength)

    def numbers_per_row(self, network: Network) -> int:
        """Return how many numbers a row is at most, its Jacobian included."""
        sizes = [network.width]
        if self.strength:
            n_vectors = self.n_probes or exact_vectors(network.encoder)
            sizes.append(n_vectors * network.encoder.width)
        if self.decoder_strength:
            n_vectors = self.n_decoder_probes or exact_vectors(network.decoder)
            sizes.append(n_vectors * network.decoder.width)
        return max(sizes)


def signs(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw 1 and −1 at equal odds, on the processor whatever the device."""
    drawn = torch.randint(
        0, 2, shape, generator=generator, dtype=torch.int8, device="cpu"
    )
    return drawn.mul_(2).sub_(1)


def squared_norms(chain: Chain, states: list[Tensor], probes: Tensor | None) -> Tensor:
    """Return ‖J‖²_F of each row, (n,), or the mean of ‖Jᵀv‖² over the probes."""
    if probes is not None:
        # (39) and (40).
        return chain.pull_back(states, probes).square().sum((1, 2)) / probes.shape[1]
    # (4) or (37), or else multiplied up.
    norms = chain.squared_norms_at(states)
    return chain.norms_from_code(states) if norms is None else norms.sum(1)


def exact_vectors(chain: Chain) -> int:
    """Return how many vectors of each row an exact norm is made of."""
    return 1 if chain.has_closed_norms else len(chain.code_vectors)


@dataclass(eq=False)
class JointLearner:
    """A network that learns to reconstruct its rows.

    Parameters
    ----------
    objective : JointObjective
        What to lower.
    parameters : dict of tensors
        Where to start; changed in place.
    solver : Solver
        What changes them.
    rows : TrainingRows
        The training data.
    batch_size : int
        The most rows to a step.
    validation : MatrixRows, optional
        Held-out data. Its probes are the same each time, so that its objective can be
        compared.
    generator : torch.Generator, optional
        Where probes come from.
    ranks : Ranks, optional
        Those who train the same parameters on other rows.
    """

    objective: JointObjective
    parameters: Parameters
    solver: Solver
    rows: TrainingRows
    batch_size: int = field(kw_only=True)
    validation: MatrixRows | None = field(default=None, kw_only=True)
    generator: torch.Generator = field(
        default_factory=lambda: make_generator(0), kw_only=True
    )
    ranks: Ranks = field(default=ALONE, kw_only=True)

    has_dense_batches: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self.network = self.objective.coder(self.parameters)
        n = min(self.batch_size, len(self.rows))
        self.n_multiplications = n * self.network.n_multiplications
        self.step = self.objective.step(self.parameters, n)

    def take_step(
        self, index: Array | Tensor | slice, rate: float, totals: Tensor
    ) -> None:
        """Change the parameters by one batch, and put loss and penalties into `totals`.

        A batch without rows is one to which only other ranks have any.
        """
        n = self.rows.count(index)
        gradient = None
        if n:
            self.rows.read(index, self.step.rows(n))
            weights = self.rows.weights_of(index)
            probes = self.objective.probes(self.network, n, self.generator)
            found, gradient = self.step.totals_and_gradient(n, weights, probes)
            totals.copy_(found)
        gradient = self.ranks.average(gradient, self.parameters, n, totals)
        self.solver.update(gradient, rate)

    def held_out(self) -> float | None:
        """Measure the objective of the held-out data of all ranks."""
        if self.validation is None:
            return None
        generator = make_generator(self.generator.initial_seed())
        mean = mean_objective(
            self.objective, self.parameters, self.validation, generator
        )
        return self.ranks.mean(mean, self.validation.total_weight())


def mean_objective(
    objective: JointObjective,
    parameters: Parameters,
    rows: MatrixRows,
    generator: torch.Generator,
) -> float:
    """Return the weighted mean of the objective over the rows."""
    network = objective.coder(parameters)

    def values(part: slice, X: Tensor) -> Tensor:
        probes = objective.probes(network, len(X), generator)
        return objective.per_sample(network, X, probes)

    return mean_over_rows(
        rows,
        values,
        width=objective.numbers_per_row(network),
        n_multiplications=network.n_multiplications,
    )
