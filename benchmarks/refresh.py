"""Rerun the commands behind the figures in README and docs, and rewrite the figures with date and commit.

    benchmarks/refresh --list                  # what is known, from when, and at which commit
    benchmarks/refresh --quick --check         # rerun the quick ones; status 1 when a page says something else
    benchmarks/refresh networks gaps           # rerun these and rewrite their pages

`figures.toml` says for every command which of its numbers stand where. A command prints one JSON object, and a figure
names a number in it by its keys. Commands run in the checkout; INPUTS in them is $HMPFIT_TEST_INPUTS.
"""

import argparse
import datetime
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "benchmarks" / "figures.toml"
PYTHON_COMMANDS = {"hmpfit": [sys.executable, "cli.py"], "python": [sys.executable]}


_NUMBER = r"(?:-?[0-9][0-9.,]*[0-9]|[0-9])"


def _spaced(text: str) -> str:
    return r"\s+".join(map(re.escape, text.split(" ")))


@dataclass(frozen=True)
class Figure:
    """A number of a command's answer, and where it stands: `text` on a page, with {} in its place, {_} in others'."""

    key: str  # such as "sets.desk.fit.pa_mpjpe_mm"; list items by their place
    page: str
    text: str
    form: str = ".1f"  # as in a format string
    factor: float = 1.0

    def pattern(self) -> re.Pattern[str]:
        """Return what finds the figure on its page; spaces and line breaks are alike."""
        before, after = (_NUMBER.join(map(_spaced, part.split("{_}"))) for part in self.text.split("{}"))
        return re.compile(f"(?P<before>{before})(?P<number>{_NUMBER})(?P<after>{after})")

    def stated(self, page: str) -> str:
        """Return the number that a page's text states. Raises LookupError when it is not there exactly once."""
        found = list(self.pattern().finditer(page))
        if len(found) != 1:
            raise LookupError(f"{self.page} has '{self.text}' {len(found)} times, not once")
        return found[0]["number"]

    def of(self, answer: Any) -> str:
        """Return the number that a command's answer gives, as it is written."""
        for part in self.key.split("."):
            answer = answer[int(part)] if isinstance(answer, list) else answer[part]
        return format(float(answer) * self.factor, self.form)


@dataclass(frozen=True)
class Measurement:
    """A command, the figures that come from it, and when and at which commit it was last run."""

    name: str
    command: str
    figures: tuple[Figure, ...]
    quick: bool
    date: str
    commit: str

    def run(self) -> Any:
        """Run the command and return its answer."""
        words = shlex.split(self.command.replace("INPUTS", os.environ.get("HMPFIT_TEST_INPUTS", "../shared/inputs")))
        words = [*PYTHON_COMMANDS.get(words[0], [words[0]]), *words[1:]]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(words, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
        return json.loads(done.stdout)


def measurements() -> list[Measurement]:
    """Read `figures.toml`."""
    table = tomllib.loads(TABLE.read_text())
    return [
        Measurement(
            name, one["command"], tuple(Figure(**figure) for figure in one["figures"]), one.get("quick", False),
            one.get("date", ""), one.get("commit", ""),
        )
        for name, one in table.items()
    ]  # fmt: skip


def differences(measurement: Measurement, answer: Any) -> list[tuple[Figure, str, str]]:
    """Return the figures whose page says something else: (figure, stated, measured)."""
    found = []
    for figure in measurement.figures:
        stated, measured = figure.stated((ROOT / figure.page).read_text()), figure.of(answer)
        if stated != measured:
            found.append((figure, stated, measured))
    return found


def rewrite(measurement: Measurement, answer: Any, commit: str) -> None:
    """Put the measured numbers on their pages, and date and commit into `figures.toml`."""
    for figure, _, measured in differences(measurement, answer):
        page = ROOT / figure.page
        text = figure.pattern().sub(lambda m, to=measured: f"{m['before']}{to}{m['after']}", page.read_text())
        page.write_text(text)
    table = TABLE.read_text()
    start = table.index(f"[{measurement.name}]")
    end = table.find("\n[", start + 1)
    section = table[start : end if end >= 0 else len(table)]
    for key, value in (("date", datetime.date.today().isoformat()), ("commit", commit)):
        section = re.sub(rf'^{key} = ".*"$', f'{key} = "{value}"', section, flags=re.MULTILINE)
    TABLE.write_text(table[:start] + section + (table[end:] if end >= 0 else ""))


def measured_commit() -> str:
    """Return the commit of the checkout; to be asked before pages are rewritten, which makes it dirty."""
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def main() -> None:
    """Rerun what was asked for; print what differs, and rewrite it unless --check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="measurements; default: all")
    parser.add_argument("--quick", action="store_true", help="only those that take seconds")
    parser.add_argument("--check", action="store_true", help="rewrite nothing; status 1 when something differs")
    parser.add_argument("--list", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    known = measurements()
    unknown = set(arguments.names) - {one.name for one in known}
    if unknown:
        parser.error(f"no measurement {', '.join(sorted(unknown))}; known: {', '.join(one.name for one in known)}")
    differing, commit = 0, measured_commit()
    for one in known:
        if (arguments.names and one.name not in arguments.names) or (arguments.quick and not one.quick):
            continue
        if arguments.list:
            print(f"{one.name}: {len(one.figures)} figures, {one.date} at {one.commit}; {one.command}")
            continue
        answer = one.run()
        for figure, stated, measured in differences(one, answer):
            differing += 1
            print(f"{figure.page}: '{figure.text}' says {stated}, measured {measured}")
        if not arguments.check:
            rewrite(one, answer, commit)
    sys.exit(1 if arguments.check and differing else 0)


if __name__ == "__main__":
    main()
