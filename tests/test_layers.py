"""Imports go downwards only."""

import ast
from pathlib import Path

from tests.conftest import ROOT

PACKAGE = ROOT / "ftlab"

#: The layers from the bottom; a module may import from lower layers, and from its own where that is one part.
LAYERS = [
    {"ftlab"},
    {"errors", "carried"},
    {"plugins", "config"},
    {"data", "methods", "diagnosis"},
    {"exam"},  # of the data it knows sources, rows, formats, chat and the cache
    {"training", "tracking"},
    {"callbacks"},
    {"runs", "summary"},
    {"comparison"},
    {"report", "export", "examination"},
    {"experiment"},
    {"evaluation"},
    {"sweep"},
    {"conformance"},
    {"cli"},
    {"__main__"},
]


def part(module: str) -> str:
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 else pieces[0]


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "ftlab":
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "ftlab"}
    return found


def test_imports_go_downwards_only():
    level = {name: i for i, layer in enumerate(LAYERS) for name in layer}
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 40
    for file in files:
        own = part(".".join(("ftlab", *file.relative_to(PACKAGE).with_suffix("").parts)))
        own = "ftlab" if own == "__init__" else own
        for module in imports(file):
            other = part(module)
            assert other == own or level[other] < level[own], f"{file.relative_to(ROOT)} imports {module}"


def test_the_exam_knows_only_sources_rows_formats_chat_and_cache_of_the_data():
    for file in (PACKAGE / "exam").rglob("*.py"):
        known = {module for module in imports(file) if part(module) == "data"}
        assert known <= {f"ftlab.data.{name}" for name in ("sources", "rows", "formats", "chat", "cache")}, file


def test_methods_import_nothing_heavy_when_listed():
    """`ftlab methods` and `ftlab --help` answer at once because nothing below them imports torch."""
    import subprocess
    import sys

    code = "import sys, ftlab.cli.main, ftlab.cli.commands, ftlab.methods; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_each_file_is_one_idea():
    long = {str(f.relative_to(ROOT)): n for f in PACKAGE.rglob("*.py") if (n := len(f.read_text().splitlines())) > 250}
    assert long == {}
