"""Numbers in tables: they do not break over lines, and the table may scroll instead."""

import re
from typing import Any

from docutils import nodes

NUMBER = re.compile(r"[−-]?\d[\d.,e %±×−-]*|–")


def mark_numbers(app: Any, tree: nodes.document) -> None:
    """Give the class "number" to such cells, and "numbers" to tables with many."""
    for table in tree.findall(nodes.table):
        cells = list(table.findall(nodes.entry))
        numbers = [cell for cell in cells if NUMBER.fullmatch(cell.astext().strip())]
        for cell in numbers:
            cell["classes"].append("number")
        if len(numbers) > len(cells) / 4:
            table["classes"].append("numbers")


def setup(app: Any) -> dict[str, bool]:
    """Follow the build."""
    app.connect("doctree-read", mark_numbers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
