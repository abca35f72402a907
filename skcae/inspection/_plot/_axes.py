"""What all pictures share: axes to draw in, and styles to tell curves apart."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

# Colours that the colour-blind tell apart, too (Okabe and Ito), and a second sign for
# print without colours.
COLORS = [
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
]
DASHES = ["-", "--", "-.", ":"]


def axes_for(display: Any, ax: Any, **figure: Any) -> Any:
    """Return the axes to draw in, of a new figure if there are none.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    check_matplotlib_support(type(display).__name__)
    if ax is None:
        from matplotlib import pyplot

        _, ax = pyplot.subplots(layout="constrained", **figure)
    display.ax_, display.figure_ = ax, ax.figure
    return ax


def curve_style(number: int) -> dict[str, Any]:
    """Return the colour and the dashes of a curve."""
    return {
        "color": COLORS[number % len(COLORS)],
        "linestyle": DASHES[number % len(DASHES)],
    }


def marked(y: np.ndarray) -> dict[str, Any]:
    """Return what makes a curve of one point be seen."""
    return {"marker": "o"} if np.isfinite(y).sum() == 1 else {}


def draw_curve(
    ax: Any,
    number: int,
    x: np.ndarray,
    y: np.ndarray,
    *,
    band: tuple[np.ndarray, np.ndarray] | None = None,
    **style: Any,
) -> Any:
    """Draw one of several curves, shade the band about it, and return the line."""
    (line,) = ax.plot(x, y, **curve_style(number) | marked(y) | style)
    if band is not None:
        ax.fill_between(x, *band, color=line.get_color(), alpha=0.15, linewidth=0)
    return line


def spelled_out(line_kw: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a line's properties by their whole names: color for c."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    return dict(normalize_kwargs(dict(line_kw or {}), Line2D))


def named(estimator: Any) -> dict[str, Any]:
    """Return estimators by their names: those of a dictionary, or that of the class.

    Raises
    ------
    ValueError
        If the dictionary is empty.
    """
    if isinstance(estimator, Mapping):
        if not estimator:
            raise ValueError("There is no estimator in the dictionary.")
        return dict(estimator)
    return {type(estimator).__name__: estimator}


def include_origin(ax: Any) -> None:
    """Show zero on both axes, and go on to fit what is drawn later."""
    ax.update_datalim([(0, 0)])
    ax.autoscale_view()
