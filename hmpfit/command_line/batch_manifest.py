"""`hmpfit batch --manifest`: very many clips from a list."""

from pathlib import Path
from typing import Any

import click

from hmpfit.command_line.progress import TerminalProgress
from hmpfit.command_line.standard_error import say
from hmpfit.strict_json import to_json

_FAILURES_SHOWN = 10


def run_list(manifest: Path, run: Any, as_json: bool, quiet: bool) -> int:
    """Work a list through; return 1 where a clip failed."""
    from hmpfit.manifest.work import run_manifest

    with TerminalProgress(quiet) as progress:
        advance: list[Any] = []

        def begin(left: int, before: int) -> None:
            if before and not quiet:
                say(f"hmpfit: {before} clips are in the ledger already.")
            advance.append(progress.phase("fitting clips", left))

        entries = run_manifest(manifest, run, begin, lambda count: advance[0](count))
    failed = [entry for entry in entries.values() if entry["error"] is not None]
    content = {
        "succeeded": len(entries) - len(failed),
        "failed": len(failed),
        "parts": sorted({entry["part"] for entry in entries.values() if entry.get("part")}),
        "seconds": round(sum(entry["seconds"] for entry in entries.values()), 3),
    }
    if as_json:
        click.echo(to_json(content))
    elif not quiet:
        click.echo(f"{content['succeeded']} clips fitted, {len(failed)} failed; all hands in {run.out}/hands-*.parquet")
    for entry in failed[:_FAILURES_SHOWN]:
        say(f"hmpfit: {entry['video']}: {entry['error']}")
    if len(failed) > _FAILURES_SHOWN:
        say(f"hmpfit: and {len(failed) - _FAILURES_SHOWN} more; the ledger has every reason.")
    return 1 if failed else 0
