"""Images as rows: of shape (height, width, channels) in C order.

The channels of a pixel lie together, while torch has the channels first. What lies in
memory is the same in its memory format "channels last", which is also the faster one,
so that nothing is moved between the two. A signal of several steps is an image of
height 1.
"""

from torch import Size, Tensor

Shape = tuple[int, int, int]
Pair = tuple[int, int]


def as_images(rows: Tensor, shape: Shape) -> Tensor:
    """Return what the last axis holds as images of torch, (…, d) → (m, c, h, w)."""
    return rows.reshape(-1, *shape).permute(0, 3, 1, 2)


def as_rows(images: Tensor, leading: Size) -> Tensor:
    """Return images of torch along the last axis, (m, c, h, w) → (…, d)."""
    return images.permute(0, 2, 3, 1).reshape(*leading, images.shape[1:].numel())


def as_pair(number: int | Pair) -> Pair:
    """Return what is along the height and along the width, if it is the same."""
    return (number, number) if isinstance(number, int) else number
