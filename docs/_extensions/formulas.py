"""Formulas as MathML, which browsers lay out without scripts or a network."""

import re
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml


def mathml(tex: str, as_block: bool = False) -> str:
    """Translate a formula; bars keep their height, which a superscript would change."""
    formula = tex2mathml(tex, as_block)
    return re.sub(r"<mo(?: class=\"mathopen\")?>‖", '<mo stretchy="false">‖', formula)


def visit_math(translator: Any, node: nodes.math) -> None:
    """Write a formula in a line."""
    translator.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def visit_displayed_math(translator: Any, node: nodes.math_block) -> None:
    """Write a formula on a line of its own."""
    formula = mathml(node.astext(), as_block=True)
    translator.body.append(f'<div class="formula">{formula}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Make this the way in which formulas are shown."""
    app.add_html_math_renderer(
        "mathml", (visit_math, None), (visit_displayed_math, None)
    )
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
