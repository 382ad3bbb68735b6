"""Stand-ins for the fit in the page's queue: they run in the job's own process, so they are importable and light."""

import os
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


def by_title(connection: Connection, video: Path, run: Path, choices: Mapping[str, Any], title: str) -> None:
    """Do what the file's name says: finish, fail with a sentence, die, or go on for a minute."""
    run.mkdir()
    connection.send(("phase", "working", 4))
    connection.send(("advance", 1))
    if title.startswith("fails"):
        connection.send(("warning", "it looks bad"))
        connection.send(("failed", "No hand was found."))
    elif title.startswith("dies"):
        os._exit(11)
    elif title.startswith("long"):
        time.sleep(60)
    else:
        (run / "result.json").write_text("{}")
        connection.send(("done",))
