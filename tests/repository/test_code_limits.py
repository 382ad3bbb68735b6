"""Limits of the code: short files, classes and functions, public names that exist once, imports that resolve."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    file
    for room in ("hmpfit", "priors")
    for file in (ROOT / room).rglob("*.py")
    if (ROOT / "hmpfit/priors") not in file.parents
)
FILE_LINES, CLASS_LINES, FUNCTION_LINES = 300, 150, 60


def lines_of(node: ast.AST) -> int:
    """Return how many lines a definition takes."""
    assert isinstance(node, ast.stmt) and node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_file_class_or_function_is_long(file: Path) -> None:
    source = file.read_text()
    assert len(source.splitlines()) <= FILE_LINES
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            assert lines_of(node) <= CLASS_LINES, node.name
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert lines_of(node) <= FUNCTION_LINES, node.name


def public_twice(kind: type[ast.ClassDef] | type[ast.FunctionDef]) -> dict[str, list[str]]:
    """Return the public top-level names of this kind that more than one file defines, with the files."""
    places = defaultdict(list)
    for file in FILES:
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, kind) and not node.name.startswith("_"):
                places[node.name].append(str(file.relative_to(ROOT)))
    return {name: files for name, files in places.items() if len(files) > 1}


def test_a_public_class_name_exists_once() -> None:
    assert public_twice(ast.ClassDef) == {}


# What each member of a family provides under the same name, and functions of the Python API or of commands.
OF_A_FAMILY = {
    "estimate", "extract", "initialize", "losses", "open_split", "read", "recognize", "scores", "view", "write",
    "detect", "export", "live", "main", "read_result",
}  # fmt: skip


def test_a_public_function_name_exists_once() -> None:
    twice = public_twice(ast.FunctionDef)
    assert {name: files for name, files in twice.items() if name not in OF_A_FAMILY} == {}


def defined_in(module: str) -> set[str]:
    """Return the names that a module of ours binds, and a package's modules."""
    parts = module.split(".")
    folder = ROOT.joinpath(*(parts[1:] if parts[:2] == ["hmpfit", "priors"] else parts))
    source = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    names = {path.stem for path in folder.iterdir()} if folder.is_dir() else set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def module_of(file: Path) -> str:
    """Return the name by which a file of ours is imported."""
    name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    return f"hmpfit.{name}" if name.startswith("priors") else name


def imported_by(file: Path, modules: set[str]) -> set[str]:
    """Return the modules of ours that a file imports, also inside functions; the package hmpfit itself left out."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in modules else node.module for name in names}
    return (found & modules) - {"hmpfit"}


def test_no_module_imports_itself_through_others() -> None:
    files = {module_of(file): file for file in FILES}
    imports = {name: imported_by(file, set(files)) for name, file in files.items()}
    while ends := [name for name, others in imports.items() if not others & imports.keys()]:
        for name in ends:
            del imports[name]
    assert imports == {}, "each of these is in a circle, or above one"


@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda file: file.name)
def test_what_a_benchmark_imports_exists(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hmpfit":
            missing = {alias.name for alias in node.names} - defined_in(str(node.module))
            assert not missing, f"{node.module} has no {missing}"
