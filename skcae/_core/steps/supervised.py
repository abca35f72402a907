"""A multi-layer perceptron: its outputs, its gradient, and a step of its training.

For a batch of n rows with weights w_i, the objective is 1/n Σ_i w_i L(t_i, z_i) with

    H_0 = Xᵀ,  H_k = φ_k(W_k H_{k−1} + b_k),  Z = W_K H_{K−1} + b_K.

Samples are columns, as in the training step of an autoencoder.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from skcae._core.data.arrays import Array
from skcae._core.data.evaluation import mean_over_rows
from skcae._core.data.rows import Rows
from skcae._core.layers.dense import Parameters, initial_weights
from skcae._core.layers.gradient import Gradient
from skcae._core.training.solvers import Solver
from skcae.activations import Activation
from skcae.losses import Loss


def initial_output(
    n_outputs: int, n_inputs: int, generator: torch.Generator
) -> Parameters:
    """Draw a fresh output layer, by the rule of an autoencoder's weights."""
    weights = initial_weights(
        n_inputs,
        n_outputs,
        generator=generator,
        dtype=torch.float64,
        device=torch.device("cpu"),
    )
    return {"coefs": weights, "intercepts": torch.zeros_like(weights[:, 0])}


@dataclass(frozen=True)
class Network:
    """Hidden layers with their activations, and a linear output layer.

    The parameters are named "coefs.k" (W_k, of shape (outputs, inputs)) and
    "intercepts.k".
    """

    activations: tuple[Activation, ...]

    def forward(self, parameters: Parameters, X: Tensor) -> list[Tensor]:
        """Return H_0, …, H_{K−1} and Z, each with the samples as columns."""
        outputs = [X.mT]
        for k, activation in enumerate(self.activations):
            outputs.append(activation.in_place(pre_output(parameters, k, outputs[-1])))
        outputs.append(pre_output(parameters, len(self.activations), outputs[-1]))
        return outputs

    def backward(
        self, parameters: Parameters, outputs: list[Tensor], dZ: Tensor
    ) -> Gradient:
        """Return the gradient from that with respect to Z, summed over samples."""
        products, vectors = {}, {}
        for k in reversed(range(len(self.activations) + 1)):
            H = outputs[k]
            products[f"coefs.{k}"] = (dZ, H.mT)
            vectors[f"intercepts.{k}"] = dZ.sum(1)
            if k > 0:
                slopes = self.activations[k - 1].derivatives(H, 1)[0]
                dZ = (parameters[f"coefs.{k}"].mT @ dZ).mul_(slopes)
        return Gradient(1 / H.shape[1], products, None, vectors)


def pre_output(parameters: Parameters, k: int, H: Tensor) -> Tensor:
    """Return W_k H + b_k."""
    W, b = parameters[f"coefs.{k}"], parameters[f"intercepts.{k}"]
    return torch.addmm(b[:, None], W, H)


def widest(parameters: Parameters) -> int:
    """Return the number of columns of the widest matrix a row passes through."""
    return max(max(parameter.shape) for parameter in parameters.values())


def largest(parameters: Parameters) -> int:
    """Return the number of multiplications that a row takes in the largest product."""
    return max(parameter.numel() for parameter in parameters.values())


@dataclass(frozen=True)
class NetworkObjective:
    """What a network is to lower: the weighted mean over rows of a loss and a decay.

    Parameters
    ----------
    network : Network
        The network.
    loss : Loss
        Of its outputs.
    decay : float
        The strength α of ½ α ‖W_K‖², on the weights of the output layer.
    """

    network: Network
    loss: Loss
    decay: float = field(default=0.0, kw_only=True)

    @property
    def columns_per_row(self) -> int:
        """How many columns each row has in the products of a step."""
        return 1

    def values_and_gradient(
        self,
        parameters: Parameters,
        index: Array | Tensor | slice,
        X: Tensor,
        T: Tensor,
        weights: Tensor | None,
    ) -> tuple[Tensor, Gradient]:
        """Return the objective of each row of a batch, and the gradient of the mean.

        `index` says which of the training rows they are. The weights count in the
        gradient only.
        """
        outputs = self.network.forward(parameters, X)
        Z = outputs.pop().mT
        losses = self.loss.value(T, Z)
        self.loss.gradient_in_place(T, Z)
        if weights is not None:
            Z.mul_(weights[:, None])
        gradient = self.network.backward(parameters, outputs, Z.mT)
        self.add_decay(parameters, weights, losses, gradient)
        return losses, gradient

    def add_decay(
        self,
        parameters: Parameters,
        weights: Tensor | None,
        values: Tensor,
        gradient: Gradient,
    ) -> None:
        """Add the decay to the objective of each row, and to the gradient."""
        if self.decay == 0:
            return
        name = f"coefs.{len(self.network.activations)}"
        W = parameters[name]
        values += self.decay / 2 * W.square().sum()
        n = len(values) if weights is None else weights.sum()
        pull = W * (self.decay * n)
        gradient.vectors[name] = pull.addmm_(*gradient.products.pop(name))


class NetworkLearner:
    """A network that learns to predict a target for each of its rows.

    Parameters
    ----------
    objective : NetworkObjective
        The network, and what to lower.
    parameters : dict of tensors
        Where to start; changed in place.
    solver : Solver
        What changes them.
    rows : Rows
        The training data.
    targets : tensor of shape (n, n_outputs)
        What to predict for each of the rows, on their device.
    batch_size : int
        The most rows to a step.
    validation : (Rows, tensor), optional
        Held-out data with their targets.
    error : callable
        From (T, Z) to what is measured on the held-out data, for each row.
    unit : float
        By what the objective and the held-out error are multiplied to be reported.
    """

    def __init__(
        self,
        objective: NetworkObjective,
        parameters: Parameters,
        solver: Solver,
        rows: Rows,
        targets: Tensor,
        *,
        batch_size: int,
        validation: tuple[Rows, Tensor] | None,
        error: Callable[[Tensor, Tensor], Tensor],
        unit: float = 1.0,
    ) -> None:
        self.objective = objective
        self.parameters = parameters
        self.solver = solver
        self.rows = rows
        self.targets = targets
        self.validation = validation
        self.error = error
        self.unit = unit
        n = min(batch_size, len(rows))
        self.batch = targets.new_empty((n, rows.n_features))
        self.n_multiplications = n * objective.columns_per_row * largest(parameters)
        rows.move_to_device()
        if validation is not None:
            validation[0].move_to_device()

    def take_step(
        self, index: Array | Tensor | slice, rate: float, value: Tensor
    ) -> None:
        """Change the parameters by one batch, and put its objective into `value`."""
        X, T = self.batch[: self.rows.count(index)], self.targets[index]
        self.rows.read(index, X)
        weights = self.rows.weights_of(index)
        values, gradient = self.objective.values_and_gradient(
            self.parameters, index, X, T, weights
        )
        value.copy_(values.sum() if weights is None else weights @ values)
        value.mul_(self.unit)
        self.solver.update(gradient, rate)

    def held_out(self) -> float | None:
        """Measure the weighted mean error of the held-out data."""
        if self.validation is None:
            return None
        rows, targets = self.validation

        def errors(part: slice, X: Tensor) -> Tensor:
            Z = self.objective.network.forward(self.parameters, X)[-1].mT
            return self.error(targets[part], Z)

        mean = mean_over_rows(
            rows,
            errors,
            width=widest(self.parameters),
            n_multiplications=largest(self.parameters),
        )
        return self.unit * mean
