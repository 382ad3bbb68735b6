"""Every input of the shared cases that once went wrong is named by a test."""

from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_every_case_is_named_by_a_test(inputs: Path) -> None:
    sources = "\n".join(file.read_text() for file in TESTS.rglob("test_*.py") if file != Path(__file__))
    cases = [case for case in (inputs / "cases").iterdir() if case.name != "README.md"]
    assert len(cases) > 10
    assert [case.name for case in cases if case.name not in sources and case.stem not in sources] == []
