"""The options under `plugins: - sentifyd:` in mkdocs.yml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mkdocs.config import config_options as c
from mkdocs.config.base import ConfigErrors, ConfigWarnings, ValidationError

from mkdocs_sentifyd.api_keys import KEY_ON_THE_SITE, find_api_key
from mkdocs_sentifyd.components import COLOURS, COMPONENTS
from mkdocs_sentifyd.options import css, fields
from mkdocs_sentifyd.options.attributes import Attributes
from mkdocs_sentifyd.options.behaviour import Behaviour
from mkdocs_sentifyd.options.endpoints import impossible_endpoints
from mkdocs_sentifyd.options.overrides import Overrides, merged
from mkdocs_sentifyd.options.patterns import Patterns
from mkdocs_sentifyd.options.validation import Validated

__all__ = [
    *("AppearanceConfig", "BrandConfig", "LoaderConfig", "PageConfig", "PageOptionsError"),
    "SentifydConfig",
]

_PUBLIC_KEY = (
    "EVERY READER OF THE SITE GETS THIS KEY, and can use it anywhere: run a token service to keep "
    "it off the site (option token_endpoint)"
)
_NO_QUESTION = "is only for consent with load: interaction: set both"


class PageOptionsError(ValueError):
    """A page's options are invalid; the text says how to fix them.

    Attributes:
        problems: each mistake, with the option's path.
    """

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"option '{name}': {text}" for name, text in problems))
        self.problems = tuple(problems)


class Options(Validated):
    """Options that suggest the right name or place of an unknown one."""

    def unknown(self, name: str, known: Iterable[str]) -> str:
        """Return the warning for an unknown option."""
        import difflib

        known = list(known)
        close = difflib.get_close_matches(name, known, n=1)
        # An exact name at another level is meant rather than a similar one at this level.
        if place := _place(name):
            return f"not an option at this level: write it {place}"
        return (
            f"no such option: did you mean {close[0]}?" if close else super().unknown(name, known)
        )


class LoaderConfig(Options):
    """The script that defines the element."""

    url = c.Optional(fields.LoaderUrl())
    """URL of the script. Default: the component's documented loader."""

    type = c.Optional(fields.OneOf("classic", "module"))
    """How the browser runs it: `classic` with `defer`, or `module`. Default: `classic` for `bot`,
    `module` for `realtime`."""

    integrity = fields.Integrity()
    """Subresource Integrity hash that the script must have. Default: none."""

    crossorigin = c.Optional(fields.OneOf("anonymous", "use-credentials"))
    """CORS mode of the request. Default: none, or `anonymous` when `integrity` is set."""


class BrandConfig(Options):
    """Name, logo and legal pages that the avatar shows."""

    name = c.Optional(fields.Text())
    """Name that the avatar shows."""

    logo = c.Optional(fields.Address())
    """Address of an image: a URL, or a path from the root of the site."""

    terms_url = c.Optional(fields.Address())
    """Address of the terms of use: a URL, or a path from the root of the site."""

    privacy_url = c.Optional(fields.Address())
    """Address of the privacy policy: a URL, or a path from the root of the site."""


class AppearanceConfig(Options):
    """Colours and sizes of the avatar."""

    background = c.Optional(css.Background())
    """CSS colour or gradient behind the avatar."""

    corner_radius = c.Optional(css.Pixels())
    """Radius of the corners, in pixels."""

    canvas_width = c.Optional(css.Pixels())
    """Width of the avatar's picture, in pixels. With an overlay also the width of the element."""

    canvas_height = c.Optional(css.Pixels())
    """Height of the avatar's picture, in pixels. With an overlay also the height of the element."""

    widget_height = c.Optional(css.Pixels())
    """Height of the whole widget, in pixels."""

    primary_color = c.Optional(css.Colour())
    """CSS colour of the controls. Default: the component's `#00bfdb`."""

    secondary_color = c.Optional(css.Colour())
    """CSS colour of the accents. Default: the component's `#801bea`."""

    text_on_primary = c.Optional(css.Colour())
    """CSS colour of text on the primary colour. Default: the component's `#011f28`."""

    text_on_secondary = c.Optional(css.Colour())
    """CSS colour of text on the secondary colour. Default: the component's `#ffffff`."""

    follow_palette = c.Optional(fields.Flag())
    """Whether colours that are not set follow the site's palette, also when the visitor switches
    between light and dark. Works with Material, Zensical and MkDocs' own themes. Default:
    `false`."""

    def validate(self) -> tuple[ConfigErrors, ConfigWarnings]:
        """Reject an empty colour: YAML reads an unquoted `#...` as a comment."""
        comment = ValidationError("empty: in YAML a colour that begins with # needs quotes")
        colours = ("background", *COLOURS)
        empty = [name for name, value in self.given.items() if value is None and name in colours]
        errors, warnings = super().validate()
        return [*((name, comment) for name in empty), *errors], warnings


class ConsentTexts(Options):
    """Texts of the question that the launcher asks, in place of the plugin's own."""

    question = c.Optional(fields.Text())
    """The question. Default: “Talking to the avatar loads it from Sentifyd. Do you want to allow
    this?”, in the avatar's language."""

    privacy = c.Optional(fields.Text())
    """Label of the link to `brand.privacy_url`. Default: “Privacy policy”, in the avatar's
    language."""

    allow = c.Optional(fields.Text())
    """Label of the button that agrees. Default: “Allow”, in the avatar's language."""

    not_now = c.Optional(fields.Text())
    """Label of the button that does not agree. Default: “Not now”, in the avatar's language."""


class PageConfig(Options):
    """Options of a page's avatar, which overrides and front matter can set too."""

    avatar_id = fields.AvatarId()
    """Required. The avatar's ID, from the Sentifyd dashboard. Not the API key."""

    token_endpoint = fields.TokenEndpoint()
    """Required. URL of the token service's `/request_tokens`: `https`, or `http` for a loopback
    host; or a path such as `/request_tokens`, if the service is on the site's own host."""

    component = fields.OneOf(*COMPONENTS, default="bot")
    """Which web component: `bot` (`<sentifyd-bot>`) or `realtime` (`<sentifyd-realtime>`)."""

    loader = fields.Group[LoaderConfig]()
    """The script that defines the element."""

    attribute_names = c.Optional(fields.OneOf("documented", "kebab"))
    """Spelling of the attributes with the credentials: `documented` (`token_endpoint`,
    `avatar_id`) or `kebab` (`token-endpoint`, `avatar-id`). Default: `documented` for `bot`,
    `kebab` for `realtime`."""

    display = c.Optional(fields.Display())
    """`toggler` (floats at the bottom right), `embedded`, `compact` (embedded, without header and
    footer), and for `realtime` also `overlay` (frameless) and `overlay-toggler`. Default: the
    component's own."""

    captions = c.Optional(fields.Flag())
    """Whether the avatar shows captions of what it says. Default: the component's own."""

    barge_in = c.Optional(fields.Flag())
    """Whether visitors may interrupt the avatar. Default: the component's own."""

    ui_language = fields.Language()
    """Language of the controls: `en`, `fr`, `de`, `es`, `ar`, `zh`, or `auto` for the site's
    language if the component supports it."""

    brand = fields.Group[BrandConfig]()
    """Name, logo and legal pages that the avatar shows."""

    appearance = fields.Group[AppearanceConfig]()
    """Colours and sizes of the avatar."""

    attributes = Attributes()
    """Further attributes of the element: a mapping of names to values. Default: none."""

    public_api_key = fields.PublicKey()
    """The key of an integration without a token service, instead of `token_endpoint`. Every
    reader of the site gets it, and a strict build fails. Default: none."""

    def unknown(self, name: str, known: Iterable[str]) -> str:
        """Return the warning for an unknown option, or for one that only a site can have."""
        if name in dict(SentifydConfig._schema):  # noqa: SLF001 - MkDocs has no public access
            return (
                "not an option of a page: set it for the whole site, next to avatar_id in "
                "mkdocs.yml"
            )
        return super().unknown(name, known)


class SentifydConfig(PageConfig):
    """All options of the plugin."""

    include = Patterns()
    """Pages that get the avatar: gitignore-style patterns for the source path, as a list or as a
    multi-line string. Default: every page."""

    exclude = Patterns()
    """Pages that do not get the avatar: patterns like those of `include`. Default: none."""

    overrides = Overrides()
    """Different options for some pages: a list of entries with `match` (patterns like those of
    `include`) and any of the options above. Later entries win. Default: none."""

    not_found_page = fields.Flag(default=True)
    """Whether 404.html and the theme's other static HTML templates get the avatar."""

    load = fields.OneOf("eager", "idle", "interaction", default="eager")
    """When the loader is fetched from Sentifyd: `eager` (with the page), `idle` (when the page is
    loaded and the browser is idle), `interaction` (when the visitor uses the button that is shown
    instead of the avatar)."""

    consent = fields.ConsentName()
    """Name of a consent, such as `sentifyd`. Nothing third-party is fetched before the visitor
    gives it: at the launcher with `load: interaction`, in Material's form, or by the event
    `sentifyd:consent`. Default: none."""

    consent_texts = fields.Group[ConsentTexts]()
    """Texts of the question that the launcher asks with `consent` and `load: interaction`."""

    actions = fields.Flag(default=False)
    """Whether the avatar may search, read and open the site's pages in the visitor's browser."""

    shortcut = fields.Shortcut()
    """Key combination that opens and closes the avatar, such as `ctrl+alt+a`. Default: none."""

    preview = fields.OneOf("live", "sandbox", "off", default="live")
    """What `mkdocs serve` shows: `live` (the avatar, if its endpoint allows the local origin),
    `sandbox` (a local stand-in for Sentifyd), `off` (no avatar)."""

    @property
    def behaviour(self) -> Behaviour:
        """The options for the browser."""
        texts = {name: text for name, text in self.consent_texts.items() if text}
        return Behaviour(self.load, self.consent, self.actions, self.shortcut, texts)

    def validate(self) -> tuple[ConfigErrors, ConfigWarnings]:
        """Look for an API key first: its message is the most urgent one."""
        if name := find_api_key(self.given):
            return [(name, ValidationError(KEY_ON_THE_SITE))], []
        errors, warnings = super().validate()
        pages: list[PageConfig] = [self]
        overrides = () if "overrides" in dict(errors) else self.overrides
        for number, override in enumerate(overrides, start=1):
            try:
                pages.append(self.page(override.options))
            except PageOptionsError as error:
                lines = [
                    f"entry {number}: option '{name}': {text}" for name, text in error.problems
                ]
                errors += [("overrides", ValidationError(line)) for line in lines]
        if errors:
            # MkDocs prints no warnings of a plugin with errors, and adds them to its next build.
            return [*errors, *((name, ValidationError(str(text))) for name, text in warnings)], []
        if any(page.public_api_key for page in pages):
            warnings.append(("public_api_key", _PUBLIC_KEY))
        warnings += [
            ("token_endpoint", line)
            for line in impossible_endpoints(page.token_endpoint for page in pages)
        ]
        if self.behaviour.consent_texts and not self.behaviour.asks:
            warnings.append(("consent_texts", _NO_QUESTION))
        return errors, warnings

    def page(self, *layers: Mapping[str, Any]) -> PageConfig:
        """Return the options of a page.

        Args:
            layers: options before validation; each layer wins over those before it and over the
                site's options.

        Raises:
            PageOptionsError: an option is invalid.
        """
        names = dict(PageConfig._schema)  # noqa: SLF001 - MkDocs has no public access
        given = {name: value for name, value in self.given.items() if name in names}
        for layer in layers:
            given = merged(given, layer)
        page = PageConfig(self.config_file_path)
        page.load_dict(given)
        errors, warnings = page.validate()
        found = [*((name, str(error)) for name, error in errors), *warnings]
        # Problems of the site's own options have already been reported.
        if problems := [line for line in found if line not in self.reported]:
            raise PageOptionsError(problems)
        return page


def _place(name: str) -> str | None:
    """Return where an option belongs that has the right name at the wrong level."""
    options = SentifydConfig._schema  # noqa: SLF001 - MkDocs has no public access
    for group, option in options:
        if isinstance(option, fields.Group) and name in dict(option.config_class._schema):  # noqa: SLF001
            return f"below {group}: {group}.{name}"
    return f"outside of any group: {name}" if name in dict(options) else None
