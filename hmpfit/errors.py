"""The errors that users see.

Each message is one clear sentence or two: it names the thing, lists what would have worked and says what to type.
The command line turns any `HmpfitError` into that message and exit code 2.
"""

from collections.abc import Iterable

_LONGEST = 1600  # characters of a message


class HmpfitError(Exception):
    """Root of every error that hmpfit raises on purpose; a message that quotes a whole file is shortened."""

    def __str__(self) -> str:
        text = super().__str__()
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 4 :]}"


class InputError(HmpfitError):
    """A file, video, model or option given by the user cannot be used."""


class UnreadableFileError(InputError):
    """A file cannot be read; `reason` says why without naming it, for callers with a sentence of their own."""

    def __init__(self, path: object, reason: str, what: str = "") -> None:
        super().__init__(f"'{path}' {'is not ' + what if what else 'cannot be read'}: {reason}.")
        self.path, self.reason = path, reason


class UnknownNameError(InputError):
    """A plug-in, recipe, key or field that does not exist was asked for."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"Unknown {kind} '{name}'; known: {', '.join(sorted(known)) or 'none'}.")


class MissingExtraError(HmpfitError):
    """An optional package that a plug-in needs is not installed."""

    def __init__(self, needed_by: str, package: str, install: str) -> None:
        super().__init__(f"{needed_by} needs the package '{package}', which is not installed; type: {install}")


class NoHandError(HmpfitError):
    """No hand was found in any frame of the input."""


class RunFolderError(HmpfitError):
    """The output folder cannot be used: unwritable, full, or made by other settings."""
