"""The benchmarks' reports as parts of two pages: results, and open questions.

A line `<!-- report: paper/table1_mnist.md, or run: COMMAND -->` of such a page becomes
the report, or if there is none yet, a note with the command that writes it.
"""

import logging
import re
from pathlib import Path
from typing import Any

# Its warnings are sphinx's, and end the build as theirs do.
LOGGER = logging.getLogger("sphinx.reports")
# The page of results has the reports of all folders but those that have their own.
PAGE, OWN = "results", {"studies": "questions"}
PAGES = (PAGE, *OWN.values())
REPORTS = Path(__file__).parents[2] / "benchmarks" / "results"
LINE = re.compile(r"^<!-- report: (\S+\.md), or run: (.+) -->$", re.MULTILINE)
LINK_TO_FOLDER = re.compile(r"\]\(\.\./benchmarks/results[^)]*(?<!\.png)\)")
INCLUDE = """```{{include}} ../benchmarks/results/{name}
:heading-offset: 2
:relative-images:
```"""
NOT_YET = ":::{{admonition}} Not run yet\n`{command}` writes this report.\n:::"


def with_reports(text: str, reports: Path = REPORTS, page: str = PAGE) -> str:
    """Put the reports into the text of a page.

    Raises
    ------
    ValueError
        If a folder is missing, a report has no table, or the page leaves one out.
    """

    def report(line: re.Match[str]) -> str:
        name, command = line.groups()
        path = reports / name
        if not path.parent.is_dir() and path.parent.name not in OWN:
            raise ValueError(f"{path.parent} is no folder: where is {name}?")
        if not path.exists():
            return NOT_YET.format(command=command)
        if "\n|" not in path.read_text(encoding="utf-8"):
            raise ValueError(f"{path} holds no table: was it written to its end?")
        return INCLUDE.format(name=name)

    text = LINE.sub(report, text)
    for path in sorted(reports.rglob("*.md")):
        name = path.relative_to(reports).as_posix()
        is_here = OWN.get(name.partition("/")[0], PAGE) == page
        if is_here and name not in text and path.parent.name != "quick":
            raise ValueError(
                f"docs/{page}.md leaves out {name}: add a line "
                f"<!-- report: {name}, or run: COMMAND -->"
            )
    return text


def read_page(app: Any, page: str, source: list[str]) -> None:
    """Change a page before it is parsed; folders of reports have no page but these."""
    if page not in PAGES:
        source[0] = LINK_TO_FOLDER.sub(f"]({PAGE}.md)", source[0])
        return
    try:
        source[0] = with_reports(source[0], page=page)
    except ValueError as error:
        LOGGER.warning("%s", error)


def always_read_page(app: Any, env: Any, *changes: set[str]) -> list[str]:
    """Read the pages anew in each build: a report may have come."""
    return [page for page in PAGES if page in env.found_docs]


def setup(app: Any) -> dict[str, bool]:
    """Follow the build."""
    app.connect("source-read", read_page)
    app.connect("env-get-outdated", always_read_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
