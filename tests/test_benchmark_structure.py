"""What is measured of the code's layout is what is there."""

import json

from benchmarks import structure

SOURCE = '''"""A docstring,

of three lines.
"""
import os  # noqa: F401


class Thing:
    """Another."""

    # A comment, and a text of two lines that is none.
    text = """one
    two"""  # and one beside code

    def do(self):
        """Do it."""
        return self.text
'''


def test_lines_of_code_are_those_without_docstrings_and_comments():
    assert structure.count_lines(SOURCE) == (6, 2)


def test_rooms_arrows_and_lines_of_a_tree(tmp_path):
    package = tmp_path / "tiny"
    files = {
        "__init__.py": "from tiny import _core\nfrom tiny._core.deep.leaf import Leaf",
        "door.py": "import tiny._core\nimport os",
        "_core/__init__.py": "",
        "_core/deep/__init__.py": "from tiny._core.deep.leaf import Leaf",
        "_core/deep/leaf.py": f"# A leaf.\n{'x = 1; ' * 9}\n" + "y = 2\n" * 399,
    }
    for name, source in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(source, encoding="utf-8")
    assert structure.written(package) == {
        "entries at the root, .py files and folders": 3,
        "files": 5,
        "files of more than 400 lines": 1,
        "lines of code": 405,
        "those that import": 5,
        "those of the core": 401,
        "comments per 100 lines of code": "0.2",
        "those of the core per 100 of its lines": "0.2",
        "rooms": 4,
        "arrows between rooms": 3,
    }


def test_the_way_ends_at_the_first_update():
    def away():
        return [step() for step in (lambda: None, Adam().update, never)]

    class Adam:
        def update(self):
            return [self.deeper() for _ in "ab"]

        def deeper(self):
            pass

    Adam.update.__code__ = Adam.update.__code__.replace(co_qualname="Adam.update")

    def never():
        pass

    names = [code.co_name for code in structure.way(away, structure.HERE / "tests")]
    assert names == ["away", "<lambda>", "update"]


def test_two_trees_side_by_side(monkeypatch, capsys):
    """A tree measures itself, in a process of its own but here."""

    def measured(tree):
        monkeypatch.setattr("sys.argv", ["structure", "--one", str(tree)])
        structure.main()
        return json.loads(capsys.readouterr().out)

    monkeypatch.setattr(structure, "measured", measured)
    before = str(structure.HERE)
    # A process keeps what it has computed once, and the second way would be shorter.
    measured(before)
    monkeypatch.setattr("sys.argv", ["structure", "--before", before])
    structure.main()
    lines = capsys.readouterr().out.splitlines()
    header, _, *rows = [line.strip("| ").split(" | ") for line in lines]
    assert header == ["before", "now"]
    assert all(before == now for _, before, now in rows)
    assert {"StackedCAE: own classes", "lines of code"} < {row[0] for row in rows}
