"""The data of a page's avatar, and the tags that are rendered from it."""

from __future__ import annotations

from itertools import product

import pytest
from bs4 import BeautifulSoup, Tag

from mkdocs_sentifyd.options.behaviour import Behaviour
from mkdocs_sentifyd.tags.embed import Embed
from mkdocs_sentifyd.tags.loader import Loader


def _attributes(html: str) -> dict[str, str]:
    tag = BeautifulSoup(html, "html.parser", multi_valued_attributes=None).find(True)
    assert isinstance(tag, Tag)
    return {name: str(value) for name, value in tag.attrs.items()}


@pytest.mark.parametrize(
    ("kind", "integrity", "crossorigin"),
    [*product(("classic", "module"), (None, "sha256-x"), (None, "anonymous"))],
)
def test_rendered_tags_match_the_data(
    kind: str, integrity: str | None, crossorigin: str | None
) -> None:
    embed = Embed(
        component="bot",
        attributes={"avatar_id": "A", "brand-name": 'Zoë & "Co" <x>', "style": "color: red"},
        loader=Loader("bot", "https://l.example/main.js?a=1&b=2", kind, integrity, crossorigin),
        style_sheets=(),
        behaviour=Behaviour(),
        page={},
        root="",
    )

    assert _attributes(embed.loader_tag) == embed.loader.attributes()
    assert _attributes(embed.element_tag) == embed.attributes
    assert _attributes(f"<x{embed.missing_text(['avatar-id'])}>") == embed.missing(["avatar-id"])
