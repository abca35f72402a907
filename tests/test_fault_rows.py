"""Each row of docs/faults.md has its test."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "faults.md"

# The first cell of a row, and below it the test that holds what the row says.
ROWS = TESTS / "fault_rows.txt"


def rows_of(text):
    """Give the first cell of each row of the tables in a page, without their heads."""
    return re.findall(r"^\| (.+?) \| .*\|$\n(?!\|---)", text, re.MULTILINE)


def test_each_row_has_its_test_and_each_test_its_row():
    lines = ROWS.read_text(encoding="utf-8").splitlines()
    tests = dict(zip(lines[::2], map(str.strip, lines[1::2]), strict=True))
    rows = rows_of(PAGE.read_text(encoding="utf-8"))
    assert len(set(rows)) == len(rows) >= 37
    assert sorted(rows) == sorted(tests)
    for test in tests.values():
        file, name = test.split("::")
        text = (TESTS / file).read_text(encoding="utf-8")
        assert re.search(rf"^def {name}\(", text, re.MULTILINE), test


def test_a_head_is_no_row():
    assert rows_of("| a | b |\n|---|---|\n| c | d |\n\n| e | f |\n") == ["c", "e"]
