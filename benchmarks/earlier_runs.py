"""Use what an earlier run has found again: stage files, copied from its run folder."""

import shutil
from pathlib import Path


def take_stages(earlier: Path, folder: Path, *names: str) -> None:
    """Make a run folder and copy files of an earlier run that it lacks; what does not fit is computed anew there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if (earlier / name).exists() and not (folder / name).exists():
            shutil.copyfile(earlier / name, folder / name)
