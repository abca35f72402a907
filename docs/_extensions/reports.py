"""The benchmarks' reports as parts of the page of results.

A line `<!-- report: paper/table1_mnist.md, or run: COMMAND -->` of that page becomes
the report, or if there is none yet, a note with the command that writes it.
"""

import logging
import re
from pathlib import Path
from typing import Any

# Its warnings are sphinx's, and end the build as theirs do.
LOGGER = logging.getLogger("sphinx.reports")
PAGE = "results"
REPORTS = Path(__file__).parents[2] / "benchmarks" / "results"
LINE = re.compile(r"^<!-- report: (\S+\.md), or run: (.+) -->$", re.MULTILINE)
LINK_TO_FOLDER = re.compile(r"\]\(\.\./benchmarks/results[^)]*(?<!\.png)\)")
INCLUDE = """```{{include}} ../benchmarks/results/{name}
:heading-offset: 2
:relative-images:
```"""
NOT_YET = ":::{{admonition}} Not run yet\n`{command}` writes this report.\n:::"


def with_reports(text: str, reports: Path = REPORTS) -> str:
    """Put the reports into the text of the page.

    Raises
    ------
    ValueError
        If a folder is missing, a report has no table, or the page leaves one out.
    """

    def report(line: re.Match[str]) -> str:
        name, command = line.groups()
        path = reports / name
        if not path.parent.is_dir():
            raise ValueError(f"{path.parent} is no folder: where is {name}?")
        if not path.exists():
            return NOT_YET.format(command=command)
        if "\n|" not in path.read_text(encoding="utf-8"):
            raise ValueError(f"{path} holds no table: was it written to its end?")
        return INCLUDE.format(name=name)

    text = LINE.sub(report, text)
    for path in sorted(reports.rglob("*.md")):
        name = path.relative_to(reports).as_posix()
        if name not in text and path.parent.name != "quick":
            raise ValueError(
                f"docs/{PAGE}.md leaves out {name}: add a line "
                f"<!-- report: {name}, or run: COMMAND -->"
            )
    return text


def read_page(app: Any, page: str, source: list[str]) -> None:
    """Change a page before it is parsed; folders of reports have no page but this."""
    if page != PAGE:
        source[0] = LINK_TO_FOLDER.sub(f"]({PAGE}.md)", source[0])
        return
    try:
        source[0] = with_reports(source[0])
    except ValueError as error:
        LOGGER.warning("%s", error)


def always_read_page(app: Any, env: Any, *changes: set[str]) -> list[str]:
    """Read the page anew in each build: a report may have come."""
    return [PAGE] if PAGE in env.found_docs else []


def setup(app: Any) -> dict[str, bool]:
    """Follow the build."""
    app.connect("source-read", read_page)
    app.connect("env-get-outdated", always_read_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
