"""The documentation's code runs, and it leaves nothing out."""

import doctest
import inspect
import pkgutil
import re
import runpy
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest

import skcae

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TEXTS = {
    page: page.read_text(encoding="utf-8")
    for page in sorted([*DOCS.glob("*.md"), *DOCS.glob("*/*.md")])
}
# What needs libraries that the tests do without: `make others` runs it.
OTHERS = DOCS / "guide" / "other_libraries.md"
SESSIONS = [page for page, text in TEXTS.items() if "\n>>> " in text and page != OTHERS]
EXAMPLES = sorted((DOCS / "examples").glob("*.py"))
REPORTS = runpy.run_path(str(DOCS / "_extensions" / "reports.py"))
PUBLIC = runpy.run_path(str(DOCS / "_extensions" / "public_names.py"))


def name_of(path):
    return path.relative_to(DOCS).with_suffix("").as_posix()


# ---- code ---------------------------------------------------------------------------


def only_code(text):
    """Blank what is not Python, so that failures have the page's line numbers."""
    lines, is_code = [], False
    for line in text.splitlines():
        if line.startswith("```"):
            is_code = line == "```python"
            line = ""
        lines.append(line if is_code else "")
    return "\n".join(lines)


def test_there_are_sessions_to_run():
    assert {"index", "getting_started", "mistakes", "design"} <= set(
        map(name_of, SESSIONS)
    )
    assert sum(page.parent.name == "guide" for page in SESSIONS) >= 5


@pytest.mark.parametrize("page", SESSIONS, ids=name_of)
def test_the_sessions_print_what_they_show(page):
    session = doctest.DocTestParser().get_doctest(
        only_code(TEXTS[page]), {}, name_of(page), str(page), 0
    )
    assert len(session.examples) == TEXTS[page].count("\n>>> ")
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    assert runner.run(session, out=report.append).failed == 0, "".join(report)


def test_each_part_of_the_page_on_other_libraries_is_run_by_its_command():
    command = runpy.run_path(str(ROOT / "benchmarks" / "other_libraries.py"))
    beginning, parts = command["parts_of"](TEXTS[OTHERS])
    whole = "".join([beginning, *parts.values()])
    assert len(parts) >= 6
    assert whole.count(">>> ") == TEXTS[OTHERS].count("\n>>> ")
    assert command["run"]("what holds", ">>> 1 + 1\n2\n") == (0, 1)


def test_the_command_tells_what_is_not_as_the_page_says(capsys):
    command = runpy.run_path(str(ROOT / "benchmarks" / "other_libraries.py"))
    assert command["run"]("what does not", ">>> 1 + 1\n3\n") == (1, 1)
    assert "Expected:\n    3\nGot:\n    2" in capsys.readouterr().out


def test_an_example_of_the_gallery_runs(capsys):
    matplotlib.use("agg")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plt, "show", lambda: None)
        names = runpy.run_path(str(DOCS / "examples" / "plot_callbacks.py"))
    assert all(ax.get_xlabel() == "epoch" for ax in names["axes"])
    assert len(names["log"]) > 10
    assert "ended after" in capsys.readouterr().out
    plt.close("all")


@pytest.mark.parametrize("example", EXAMPLES, ids=name_of)
def test_the_gallery_takes_each_example(example):
    """It takes files by their name, and their title from the docstring."""
    assert example.name.startswith("plot_")
    lines = example.read_text(encoding="utf-8").splitlines()
    assert lines[0] == '"""'
    assert lines[2] == "=" * len(lines[1])


def test_the_table_of_mistakes_has_the_numbers_of_the_sessions():
    table, _, sessions = TEXTS[DOCS / "mistakes.md"].partition("## The exact penalty")
    numbers = re.findall(r"\d\.\d+|\d+\.\d{4}", table)
    assert len(numbers) >= 16
    for number in numbers:
        assert re.search(rf"^(?!>>>|\.\.\.).*\b{number}\b", sessions, re.MULTILINE)


# ---- nothing is left out ------------------------------------------------------------


def test_every_public_module_is_in_the_reference():
    index = TEXTS[DOCS / "reference" / "index.md"]
    listed = re.findall(r"^   (skcae[\w.]*)$", index, re.MULTILINE)
    assert sorted(listed) == sorted(PUBLIC["public_modules"]())


def test_the_reference_begins_with_the_estimators():
    index, _, _ = TEXTS[DOCS / "reference" / "index.md"].partition("## Modules")
    listed = re.findall(r"^   ~skcae\.(\w+)$", index, re.MULTILINE)
    assert sorted([*listed, "__version__"]) == sorted(skcae.__all__)


def test_each_page_of_the_guide_has_its_line():
    text = TEXTS[DOCS / "guide" / "index.md"]
    trees = re.findall(r"```{toctree}\n(?::[^\n]*\n)*\n(.*?)\n```", text, re.DOTALL)
    pages = [page for tree in trees for page in tree.split()]
    lines = re.findall(r"^- \[.+?\]\((.+?)\.md\): ", text, re.MULTILINE)
    assert pages == lines
    assert len(set(pages)) == len(pages) >= 19


def test_a_build_sees_which_public_names_are_missing():
    names = set(PUBLIC["public_names"]())
    assert {"skcae.StackedCAE", "skcae.losses.LOSSES"} <= names
    assert PUBLIC["missing_names"](names) == []
    assert PUBLIC["missing_names"](names - {"skcae.StackedCAE"}) == ["skcae.StackedCAE"]


def test_no_docstring_has_a_part_to_be_filled_in():
    described = []
    for name in PUBLIC["public_names"]():
        public = pkgutil.resolve_name(name)
        described.append(public.__doc__)
        if isinstance(public, type):
            described += [
                member.__doc__ for _, member in inspect.getmembers(public, callable)
            ]
    assert len(described) > 500
    assert [text for text in described if "%(" in (text or "")] == []


def test_links_lead_somewhere():
    for page, text in TEXTS.items():
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert (page.parent / target).exists(), f"{page}: {target}"


# ---- tables and pictures ------------------------------------------------------------


@pytest.mark.parametrize(
    "number", ["1.71 ± 0.27", "−0.5", "10,000", "86.9", "–", "2e-4"]
)
def test_numbers_in_tables_do_not_break(number):
    pattern = runpy.run_path(str(DOCS / "_extensions" / "tables.py"))["NUMBER"]
    assert pattern.fullmatch(number)
    assert not pattern.fullmatch(f"{number} rows")


def test_the_pictures_of_contraction_are_drawn(tmp_path, capsys):
    draw = runpy.run_path(str(DOCS / "pictures" / "contraction.py"))["main"]
    draw(tmp_path, max_iter=12, tol=0.5)
    drawn = sorted(path.name for path in tmp_path.iterdir())
    assert drawn == ["contraction_codes.png", "contraction_errors.png"]
    assert all((DOCS / "_static" / name).exists() for name in drawn)
    errors = re.findall(r"^(.+) test error, % (.+)$", capsys.readouterr().out, re.M)
    assert [name for name, _ in errors] == ["pixels", "λ = 0", "λ = 0.3"]
    # What contraction is for shows even after a few epochs.
    at_most_noise = [float(row.split()[-1]) for _, row in errors]
    assert at_most_noise == sorted(at_most_noise, reverse=True)


# ---- the page of results ------------------------------------------------------------


@pytest.fixture
def reports(tmp_path):
    """Make a folder of two reports."""
    for name in ("paper/one.md", "speed/two.md"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("# Title\n\n| a |\n|---|\n| 1 |\n")
    return tmp_path


def line(name):
    return f"<!-- report: {name}, or run: make it -->"


def test_reports_that_exist_are_shown(reports):
    page = f"{line('paper/one.md')}\n\n{line('speed/two.md')}\n"
    shown = REPORTS["with_reports"](page, reports)
    assert shown.count("```{include}") == 2
    assert "make it" not in shown


def test_a_report_that_is_still_to_come_is_announced(reports):
    page = "\n".join(map(line, ("paper/one.md", "speed/two.md", "paper/three.md")))
    shown = REPORTS["with_reports"](page, reports)
    assert shown.count("```{include}") == 2
    assert "Not run yet\n`make it` writes" in shown


def test_reports_are_not_lost(reports):
    show = REPORTS["with_reports"]
    with pytest.raises(ValueError, match=r"leaves out speed/two\.md"):
        show(line("paper/one.md"), reports)
    with pytest.raises(ValueError, match=r"papers is no folder: where is papers/one"):
        show(line("papers/one.md"), reports)
    (reports / "paper" / "one.md").write_text("# Title\n")
    with pytest.raises(ValueError, match=r"one\.md holds no table"):
        show(line("paper/one.md"), reports)


def test_a_folder_may_have_a_page_of_its_own(reports):
    show = REPORTS["with_reports"]
    both = "\n".join(map(line, ("paper/one.md", "speed/two.md")))
    assert "Not run yet" in show(line("studies/three.md"), reports, "questions")
    (reports / "studies").mkdir()
    (reports / "studies" / "three.md").write_text("# Title\n\n| a |\n|---|\n| 1 |\n")
    assert show(both, reports).count("```{include}") == 2
    with pytest.raises(ValueError, match=r"questions\.md leaves out studies/three\.md"):
        show(both, reports, "questions")


def test_the_pages_show_all_there_is():
    shown = REPORTS["with_reports"](TEXTS[DOCS / "results.md"])
    assert shown.count("```{include}") >= 10
    questions = TEXTS[DOCS / "questions.md"]
    shown = REPORTS["with_reports"](questions, page="questions")
    assert shown.count("<!-- report") == 0
    assert len(re.findall(r"^## \d+\. ", questions, re.MULTILINE)) == 10


def test_the_papers_tables_are_those_that_reports_compare_with():
    paper = runpy.run_path(str(ROOT / "benchmarks" / "paper" / "published.py"))
    text = TEXTS[DOCS / "results.md"]
    rows = [
        [cell.strip() for cell in row.split("|")[1:-1]]
        for row in text.splitlines()
        if row.startswith("| ")
    ]
    numbers = [
        (row[0], [float(cell) for cell in row[1:]]) for row in rows if is_row(row)
    ]
    for table in paper["TABLE_1"].values():
        for model, printed in table.items():
            assert (model, list(printed)) in numbers
    for data, printed in paper["TABLE_2"].items():
        assert (data, printed) in numbers
    for model, printed in paper["FEW_LABELS"].items():
        assert (model, list(printed.values())) in numbers
    assert len(numbers) == 6 + 5 + 7 + 3


def is_row(cells):
    return re.fullmatch(r"[\d.]+", cells[1]) is not None
