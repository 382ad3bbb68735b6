"""Parse `A:B`, the half-open range of source frames that several options take."""

import re
from typing import Any

import click


class FrameRange(click.ParamType):
    """A click type: the text `A:B` becomes the pair (A, B), with 0 <= A < B."""

    name = "A:B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Parse the text. Raises an error with the expected form."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d+):(\d+)", str(value).strip())
        if match is None or int(match[1]) >= int(match[2]):
            self.fail(f"'{value}' is not a range; write A:B with A < B, such as 100:160 (B not included)", param, ctx)
        return int(match[1]), int(match[2])


FRAME_RANGE = FrameRange()
