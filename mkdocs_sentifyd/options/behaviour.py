"""The options that control when and how the browser loads the avatar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Behaviour"]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Options that are the same on every page of a site.

    Attributes:
        load: when the loader is fetched: `eager`, `idle`, `interaction`.
        consent: name of the consent that the visitor must give first.
        actions: whether the avatar may search, read and open pages.
        shortcut: key combination that opens and closes the avatar, in the form that the runtime
            compares; see `Shortcut`.
        consent_texts: the author's own texts of the question for consent, by their names.
    """

    load: str = "eager"
    consent: str | None = None
    actions: bool = False
    shortcut: str | None = None
    consent_texts: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def needs_runtime(self) -> bool:
        """Whether the options need the browser runtime."""
        return self != Behaviour()

    @property
    def delays_loader(self) -> bool:
        """Whether the loader is fetched later than the page."""
        return self.load != "eager" or self.consent is not None

    @property
    def asks(self) -> bool:
        """Whether the launcher asks for consent."""
        return self.load == "interaction" and self.consent is not None
