"""Generate documentation that is the same on every machine and in every run.

Each page has headings, prose, lists, links, a table, an image and code samples, some of which quote
HTML such as `</body>`. The navigation has only a few pages of each section. With all of them, each
page would grow with the site, and the plain build would take quadratic time.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

__all__ = ["PLAIN", "VARIANTS", "Variant", "write_site"]

SECTIONS = 20
NAMED = 4
TEXT = """
avatar token page reader key service theme build answer script the a of to and with for in on by
that which it one each every before after while server browser request header naïve café response
session option default value file folder path config
"""
WORDS = TEXT.split()
SAMPLES = (
    "```html\n<!doctype html>\n<html>\n  <head>\n    <title>Sample</title>\n"
    '    <script src="/assets/widget.js" defer></script>\n  </head>\n'
    "  <body>\n    <p>Hello</p>\n  </body>\n</html>\n```",
    "```python\ndef close(page: str) -> str:\n    # the real end of a page\n"
    '    head, end, rest = page.rpartition("</body>")\n    return head + end + rest\n```',
    "```yaml\nplugins:\n  - search\n  - tags:\n      enabled: true\n```",
    '```js\ndocument.body.innerHTML += "<!-- </body> --><script></scr" + "ipt>";\n```',
    "```sh\nmkdocs build --strict && rsync -a site/ host:/srv/www/\n```",
)


class Variant(NamedTuple):
    """A build to compare.

    Attributes:
        name: name of the distribution.
        plugin: name of the plugin in mkdocs.yml; empty for the plain build.
        options: the required options.
        mark: a text that only its pages contain, not those of the plain build.
    """

    name: str
    plugin: str = ""
    options: tuple[str, ...] = ()
    mark: str = ""


PLAIN = Variant("plain")
VARIANTS = (
    PLAIN,
    Variant(
        "mkdocs-sentifyd",
        "sentifyd",
        (
            "avatar_id: avtr_1234abcd",
            "token_endpoint: https://tokens.example.com/request_tokens",
        ),
        "https://tokens.example.com/request_tokens",
    ),
    Variant(
        "mkdocs-ai-chatbot",
        "asyntai",
        ("widget_id: asyntai_1a2b3c4d5e6f",),
        'data-asyntai-id="asyntai_1a2b3c4d5e6f"',
    ),
    Variant("mkdocs-biel", "biel", ("project: abcd1234",), "<biel-button "),
    Variant("mkdocs-glightbox", "glightbox", (), '<a class="glightbox"'),
)


def write_site(folder: Path, pages: int, theme: str) -> None:
    """Write the sources, and a `<name of the variant>.yml` for each variant.

    Args:
        folder: target folder, which is created if it is missing.
        pages: number of pages, including the home page.
        theme: name of the theme.
    """
    chance = random.Random(7)
    names = ["index.md", *(f"section-{n % SECTIONS}/page-{n}.md" for n in range(1, pages))]
    for number, name in enumerate(names):
        page = folder / "docs" / name
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(_page(number, chance), encoding="utf-8")
    (folder / "docs" / "shot.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    navigation = ["  - index.md"]
    for section in range(SECTIONS):
        navigation.append(f"  - Section {section}:")
        below = [name for name in names if name.startswith(f"section-{section}/")]
        navigation += [f"      - {name}" for name in below[:NAMED]]
    for variant in VARIANTS:
        config = _config(variant, theme, navigation)
        (folder / f"{variant.name}.yml").write_text("\n".join(config), encoding="utf-8")


def _config(variant: Variant, theme: str, navigation: Iterable[str]) -> list[str]:
    plugin = [f"  - {variant.plugin}:"] if variant.plugin else []
    return [
        "site_name: Benchmark",
        "site_url: https://docs.example.com/",
        f"site_dir: {variant.name}",
        f"theme: {theme}",
        "nav:",
        *navigation,
        "plugins:",
        "  - search",
        *plugin,
        *(f"      {option}" for option in variant.options),
    ]


def _page(number: int, chance: random.Random) -> str:
    up = "../" if number else ""
    parts = [f"# Page {number}", _words(chance, 40), f"![A screen]({up}shot.svg)"]
    for heading in range(chance.randint(4, 8)):
        parts += [f"## Heading {heading}: {_words(chance, 3)}", _words(chance, 60)]
        parts.append("\n".join(f"- **{_words(chance, 2)}**: {_words(chance, 9)}" for _ in range(4)))
        parts += [chance.choice(SAMPLES), f"See [home]({up}index.md) for `{_words(chance, 1)}`."]
    rows = [f"| `{_words(chance, 1)}` | {_words(chance, 8)} |" for _ in range(6)]
    parts.append("\n".join(["| Option | Meaning |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _words(chance: random.Random, count: int) -> str:
    return " ".join(chance.choices(WORDS, k=count))
