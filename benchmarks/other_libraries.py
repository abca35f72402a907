"""Run the page on other libraries, each part of it that can be run here.

    make others

or, where the libraries of benchmarks/other_libraries.txt are installed,

    python benchmarks/other_libraries.py [PART ...]
"""

import argparse
import doctest
import re
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "other_libraries.md"
TITLE = re.compile(r"^## (.+)$", re.MULTILINE)
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def parts_of(page):
    """Return the code that all begin with, and that of each part by its title."""
    beginning, *rest = TITLE.split(page)
    titles, texts = rest[::2], rest[1::2]
    return code_of(beginning), dict(zip(titles, map(code_of, texts), strict=True))


def code_of(text):
    """Return the sessions in a text, one under the other."""
    return "\n".join(FENCE.findall(text))


def run(title, code):
    """Run a session, print what differs, and return (failed, attempted)."""
    session = doctest.DocTestParser().get_doctest(code, {}, title, str(PAGE), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    failed, attempted = runner.run(session, out=sys.stdout.write)
    return failed, attempted


def main():
    """Run the parts that are asked for, or all, and exit with 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help="titles of the page; all by default")
    wanted = parser.parse_args().parts
    beginning, parts = parts_of(PAGE.read_text(encoding="utf-8"))
    unknown = set(wanted) - set(parts)
    if unknown:
        parser.error(f"{sorted(unknown)} are no parts of the page: {list(parts)}")
    any_failed = False
    for title in wanted or parts:
        failed, attempted = run(title, f"{beginning}\n{parts[title]}")
        print(f"{title}: {attempted - failed} of {attempted} as the page says")
        any_failed = any_failed or failed > 0
    sys.exit(any_failed)


if __name__ == "__main__":
    main()
