"""The exceptions of fgic: each says what happened, where, and what to do."""

from __future__ import annotations

from collections.abc import Sequence


class FgicError(Exception):
    """A mistake or a failure that is reported as one message and never as a traceback.

    Args:
        what: what happened, one sentence.
        where: the file, step or component it happened in.
        hint: what to do about it.
    """

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.args, self.__dict__))


def _rebuild(cls: type[FgicError], args: tuple[object, ...], state: dict[str, object]) -> FgicError:
    error = cls.__new__(cls, *args)
    Exception.__init__(error, *args)
    error.__dict__.update(state)
    return error


class DataError(FgicError):
    """A picture, an annotation or a data set on disk is missing, broken or contradicts itself."""


class PluginError(FgicError):
    """A component is missing, fails to load, or breaks the contract of its interface."""


class StoreError(FgicError):
    """The store cannot be read or written, or lacks an artifact that is needed."""


class StepError(FgicError):
    """A step failed while it ran.

    Args:
        step: the step's name in the spec.
        component: its component, such as ``classifier/timm``.
    """

    def __init__(
        self, what: str, *, step: str, component: str, where: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(what, where=where or f"step {step} ({component})", hint=hint)
        self.step = step
        self.component = component


class Interrupted(FgicError):
    """The user stopped the run; what is finished is in the store."""


def nearest(word: str, known: Sequence[str], most: int = 3) -> list[str]:
    """The known names that look most like ``word``, best first, for "did you mean"."""
    from difflib import get_close_matches

    by_fold = {name.casefold(): name for name in known}
    found = get_close_matches(word.casefold(), list(by_fold), n=most, cutoff=0.6)
    return [by_fold[name] for name in found]
