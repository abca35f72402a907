"""Layers of images as modules: torch has the channels first, rows have them last."""

from collections.abc import Iterator

from torch import Tensor, nn, no_grad

from skcae._core.layers.convolution import Convolution, Sliding, TransposedConvolution
from skcae._core.layers.images import Shape, as_pair
from skcae._core.layers.pooling import AveragePooling, MaxPooling, Unpooling

# The weights that those of the next layers are tied to, none if they are not.
Ties = Iterator[nn.Parameter]


class Permute(nn.Module):
    """Exchange axes.

    Parameters
    ----------
    *axes : int
        Which of the given axes stands at each place.
    """

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, X: Tensor) -> Tensor:
        """Return the same numbers with their axes exchanged."""
        return X.permute(self.axes)

    def extra_repr(self) -> str:
        """Show the axes."""
        return ", ".join(map(str, self.axes))


class Repeat(nn.Module):
    """Repeat each pixel all over a window.

    Parameters
    ----------
    rows, columns : int
        The height and width of a window.
    """

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns

    def forward(self, X: Tensor) -> Tensor:
        """Return larger images, (n, c, h, w) → (n, c, rows h, columns w)."""
        return X.repeat_interleave(self.rows, 2).repeat_interleave(self.columns, 3)

    def extra_repr(self) -> str:
        """Show the window."""
        return f"{self.rows}, {self.columns}"


def of_rows(shape: Shape, *parts: nn.Module) -> nn.Sequential:
    """Return what makes images of rows, goes through the parts, and makes rows."""
    images = nn.Unflatten(1, shape), Permute(0, 3, 1, 2)
    return nn.Sequential(*images, *parts, Permute(0, 2, 3, 1), nn.Flatten())


def grown(rows: int, columns: int) -> list[nn.Module]:
    """Return what adds zeros after an image, or cuts it if they are negative."""
    return [nn.ZeroPad2d((0, columns, 0, rows))] if rows or columns else []


def convolution_of(layer: Convolution, ties: Ties) -> nn.Module:
    """Return the module of a convolution."""
    n_filters, n_channels, *kernel = layer.weights.shape
    module = nn.Conv2d(
        n_channels,
        n_filters,
        (kernel[0], kernel[1]),
        *layer.slide,
        dtype=layer.weights.dtype,
    )
    set_numbers(module, layer)
    return of_rows(layer.image_shape, *grown(*layer.odd_zeros), module)


def transposed_convolution_of(layer: TransposedConvolution, ties: Ties) -> nn.Module:
    """Return its module, with the filters of another if those are its."""
    n_filters, n_channels, *kernel = layer.weights.shape
    rows, columns = layer.axes
    module = nn.ConvTranspose2d(
        n_filters,
        n_channels,
        (kernel[0], kernel[1]),
        *layer.slide,
        (rows.n_uncovered, columns.n_uncovered),
        dtype=layer.weights.dtype,
    )
    set_numbers(module, layer)
    module.weight = next(ties, module.weight)
    odd_rows, odd_columns = layer.odd_zeros
    return of_rows(layer.code_shape, module, *grown(-odd_rows, -odd_columns))


def set_numbers(module: nn.Conv2d | nn.ConvTranspose2d, layer: Sliding) -> None:
    """Give a module the numbers of a layer."""
    assert module.bias is not None
    with no_grad():
        module.weight.copy_(layer.weights)
        module.bias.copy_(layer.intercept)


def max_pooling_of(layer: MaxPooling, ties: Ties) -> nn.Module:
    """Return the module of the largest number of each window."""
    module = nn.MaxPool2d(as_pair(layer.pool_size), ceil_mode=True)
    return of_rows(layer.image_shape, module)


def average_pooling_of(layer: AveragePooling, ties: Ties) -> nn.Module:
    """Return the module of the mean of each window, of the pixels in the image."""
    module = nn.AvgPool2d(as_pair(layer.pool_size), ceil_mode=True)
    return of_rows(layer.image_shape, module)


def unpooling_of(layer: Unpooling, ties: Ties) -> nn.Module:
    """Return the module that repeats numbers, and cuts what is beyond the image."""
    (n_rows, n_columns, _), (rows, columns) = layer.code_shape, as_pair(layer.pool_size)
    height, width, _ = layer.image_shape
    beyond = grown(height - n_rows * rows, width - n_columns * columns)
    return of_rows(layer.code_shape, Repeat(rows, columns), *beyond)
