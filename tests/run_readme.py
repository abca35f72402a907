"""Run the README's code: ``python -P tests/run_readme.py``, with whatever is installed.

It needs nothing but the package, so that a wheel can be tried in an empty environment.
"""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def blocks_of(page):
    """Give the Python of a page that is no session."""
    text = page.read_text(encoding="utf-8")
    return re.findall(r"```python\n(?!>>>)(.*?)```", text, re.DOTALL)


def run_blocks(page):
    """Run them from top to bottom, and give the names that they define."""
    names = {}
    for block in blocks_of(page):
        exec(compile(block, page.name, "exec"), names)
    return names


if __name__ == "__main__":
    names = run_blocks(README)
    assert names["model"].score(names["X_test"], names["y_test"]) > 0.95
