"""The one exception for a user's mistake, the hint that names what was probably meant, and the first line of any."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A mistake in input, configuration or a plug-in, told in one sentence that names the remedy.

    Commands print its message without a traceback and exit with status 2.
    """

    def __str__(self) -> str:
        """Return the message on one line, whatever text of the user's it quotes."""
        return " ".join(super().__str__().split())


class MachineError(UserError):
    """The machine and not the method ended the work: its memory ran out, or a signal came. It is no method's result."""


class DamagedFile(MachineError):
    """A file that a step wrote is not whole any more."""


class CannotWrite(MachineError):
    """The disk is full or read-only."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text that says something, or the error's kind where none does."""
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Describe an unknown `name` of a `kind` ("method", "key", ...) with the nearest valid one."""
    known = sorted(known)
    close = get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}."
    return UserError(f"unknown {kind} '{name}'; {hint}")
