"""What a site wants in the browser beside the avatar itself."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Behaviour"]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The options that hold for every page of a site.

    Attributes:
        load: when the loader is fetched: `eager`, `idle`, `interaction`.
        consent: name of the consent that has to be given first.
        actions: whether the avatar may search, read and open pages.
        shortcut: keys that open and close the avatar, as the runtime compares them.
    """

    load: str = "eager"
    consent: str | None = None
    actions: bool = False
    shortcut: str | None = None

    @property
    def needs_runtime(self) -> bool:
        """Whether only the browser runtime can do it."""
        return self != Behaviour()

    @property
    def waits(self) -> bool:
        """Whether something must happen before the loader is fetched."""
        return self.load != "eager" or self.consent is not None
