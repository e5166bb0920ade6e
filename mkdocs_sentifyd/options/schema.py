"""The options under `plugins: - sentifyd:` in mkdocs.yml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mkdocs.config import config_options as c
from mkdocs.config.base import Config, ConfigErrors, ConfigWarnings, ValidationError

from mkdocs_sentifyd.api_keys import KEY_ON_THE_SITE, find_api_key
from mkdocs_sentifyd.components import COLOURS, COMPONENTS
from mkdocs_sentifyd.options import css, fields
from mkdocs_sentifyd.options.attributes import Attributes
from mkdocs_sentifyd.options.behaviour import Behaviour
from mkdocs_sentifyd.options.overrides import Overrides, merged
from mkdocs_sentifyd.options.patterns import Patterns

__all__ = [
    *("AppearanceConfig", "BrandConfig", "LoaderConfig", "PageConfig", "PageOptionsError"),
    "SentifydConfig",
]

_PUBLIC_KEY = (
    "EVERY READER OF THE SITE GETS THIS KEY, and can use it anywhere: a token service keeps it "
    "off the site (option token_endpoint)"
)
_FINAL_SLASH = (
    "ends with a slash: the token service knows /request_tokens without one, and says 404 to this"
)


class PageOptionsError(ValueError):
    """A page's options cannot be used; the text says how to fix it."""


class Options(Config):
    """Options that suggest the right name for a wrong one."""

    written: Mapping[str, Any] = {}
    """What the author wrote, without the defaults."""

    reported: frozenset[tuple[str, str]] = frozenset()
    """Warnings of the last validation."""

    def load_dict(self, patch: dict[str, Any]) -> None:
        """Take over what the author wrote."""
        super().load_dict(patch)
        self.written = patch

    def validate(self) -> tuple[ConfigErrors, ConfigWarnings]:
        """Return errors and warnings, each with the option's name."""
        known = dict(self._schema)
        errors, warnings = super().validate()
        found = [(name, text) for name, text in warnings if name in known]
        others = [str(name) for name in self.written if name not in known]
        found += [(name, self.unknown(name, known)) for name in others]
        self.reported = frozenset(found)
        return errors, found

    def unknown(self, name: str, known: Iterable[str]) -> str:
        """The warning for a name that is no option."""
        import difflib

        close = difflib.get_close_matches(name, known := list(known), n=1)
        cure = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
        return f"no such option: {cure}"


class LoaderConfig(Options):
    """The script that defines the element."""

    url = c.Optional(fields.LoaderUrl())
    """Address of the script. Default: the component's documented loader."""

    type = c.Optional(fields.OneOf("classic", "module"))
    """How the browser runs it: `classic` with `defer`, or `module`. Default: `classic` for `bot`,
    `module` for `realtime`."""

    integrity = fields.Integrity()
    """Subresource Integrity hash that the script must have. Default: none."""

    crossorigin = c.Optional(fields.OneOf("anonymous", "use-credentials"))
    """CORS mode of the request. Default: none, or `anonymous` when `integrity` is set."""


class BrandConfig(Options):
    """Whose avatar it is."""

    name = c.Optional(fields.Text())
    """Name that the avatar shows."""

    logo = c.Optional(fields.Address())
    """Address of a picture: a URL, or a path from the root of the site."""

    terms_url = c.Optional(fields.Address())
    """Address of the terms of use, in the same form."""

    privacy_url = c.Optional(fields.Address())
    """Address of the privacy policy, in the same form."""


class AppearanceConfig(Options):
    """What it looks like."""

    background = c.Optional(css.Background())
    """CSS colour or gradient behind the avatar."""

    corner_radius = c.Optional(css.Pixels())
    """Radius of the corners, in pixels."""

    canvas_width = c.Optional(css.Pixels())
    """Width of the avatar's picture, in pixels; of an overlay also the element's own."""

    canvas_height = c.Optional(css.Pixels())
    """Height of the avatar's picture, in pixels; of an overlay also the element's own."""

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
    between light and dark: in Material, Zensical and MkDocs' own themes. Default: `false`."""

    def validate(self) -> tuple[ConfigErrors, ConfigWarnings]:
        """Refuse a colour that YAML took for a comment: it would silently be missing."""
        for name, value in self.written.items():
            if value is None and name in ("background", *COLOURS):
                comment = ValidationError("empty: in YAML a colour that begins with # needs quotes")
                return [(name, comment)], []
        return super().validate()


class PageConfig(Options):
    """What one page's avatar is: an override or front matter may set any of it."""

    avatar_id = fields.AvatarId()
    """Required. The avatar's ID, from the Sentifyd dashboard. Not the API key."""

    token_endpoint = fields.TokenEndpoint()
    """Required. Address of the token service's `/request_tokens`; `https`, or `http` for a loopback
    host."""

    component = fields.OneOf(*COMPONENTS, default="bot")
    """Which web component: `bot` (`<sentifyd-bot>`) or `realtime` (`<sentifyd-realtime>`)."""

    loader = fields.Group[LoaderConfig]()
    """The script that defines the element."""

    attribute_names = c.Optional(fields.OneOf("documented", "kebab"))
    """How the attributes with the credentials are spelt: `documented` (`token_endpoint`,
    `avatar_id`) or `kebab` (`token-endpoint`, `avatar-id`). Default: `documented` for `bot`,
    `kebab` for `realtime`."""

    display = c.Optional(fields.Display())
    """`toggler` (floats at the bottom right), `embedded`, `compact` (embedded, without header and
    footer), and for `realtime` also `overlay` (frameless) and `overlay-toggler`. Default: the
    component's own."""

    captions = c.Optional(fields.Flag())
    """Whether what the avatar says is also written. Default: the component's own."""

    barge_in = c.Optional(fields.Flag())
    """Whether visitors may interrupt the avatar. Default: the component's own."""

    ui_language = fields.Language()
    """Language of the controls: `en`, `fr`, `de`, `es`, `ar`, `zh`, or `auto`: the site's, where
    the component speaks it."""

    brand = fields.Group[BrandConfig]()
    """Whose avatar it is."""

    appearance = fields.Group[AppearanceConfig]()
    """What it looks like."""

    attributes = Attributes()
    """Further attributes of the element, by their names. Default: none."""

    public_api_key = fields.PublicKey()
    """The key of an integration without a token service, in place of `token_endpoint`. Every
    reader of the site gets it, and a strict build fails. Default: none."""

    def unknown(self, name: str, known: Iterable[str]) -> str:
        """The warning for a name that is no option, or none of a page."""
        if name in dict(SentifydConfig._schema):  # noqa: SLF001 - MkDocs has no other way to ask
            return (
                "no such option of a page: it is for the whole site, and belongs beside avatar_id "
                "in mkdocs.yml"
            )
        return super().unknown(name, known)


class SentifydConfig(PageConfig):
    """Where avatars stand, and what they are."""

    include = Patterns()
    """Pages that get the avatar: gitignore-style patterns over the source path, as a list or as a
    multi-line string. Default: every page."""

    exclude = Patterns()
    """Pages that do not, in the same form. Default: none."""

    overrides = Overrides()
    """Other options for some pages: a list of `match`, patterns in the same form, with any of the
    options above. Later entries win. Default: none."""

    not_found_page = fields.Flag(default=True)
    """Whether 404.html and the theme's other static HTML templates get the avatar."""

    load = fields.OneOf("eager", "idle", "interaction", default="eager")
    """When the loader is fetched from Sentifyd: `eager` (with the page), `idle` (when the page is
    loaded and the browser idle), `interaction` (when the visitor uses a button that stands there in
    place of the avatar)."""

    consent = fields.ConsentName()
    """Name of a consent, such as `sentifyd`, before which nothing third-party is fetched. It is
    asked for in Material's form; other sites tell it in the event `sentifyd:consent`. Default:
    none."""

    actions = fields.Flag(default=False)
    """Whether the avatar may search, read and open the site's pages in the visitor's browser."""

    shortcut = fields.Shortcut()
    """Keys that open and close the avatar, such as `ctrl+alt+a`. Default: none."""

    preview = fields.OneOf("live", "sandbox", "off", default="live")
    """What `mkdocs serve` shows: `live` (the avatar, if its endpoint allows the local origin),
    `sandbox` (a stand-in that this machine runs meanwhile), `off` (none)."""

    @property
    def behaviour(self) -> Behaviour:
        """What the site wants in the browser."""
        return Behaviour(self.load, self.consent, self.actions, self.shortcut)

    def validate(self) -> tuple[ConfigErrors, ConfigWarnings]:
        """Refuse a secret first: no other message may come before it is off the site."""
        if name := find_api_key(self.written):
            return [(name, ValidationError(KEY_ON_THE_SITE))], []
        errors, warnings = super().validate()
        if errors:
            return errors, warnings
        pages: list[PageConfig] = [self]
        for number, override in enumerate(self.overrides, start=1):
            try:
                pages.append(self.page(override.options))
            except PageOptionsError as error:
                return [("overrides", ValidationError(f"entry {number}: {error}"))], warnings
        if any(page.public_api_key for page in pages):
            warnings.append(("public_api_key", _PUBLIC_KEY))
        if any(fields.ends_with_slash(page.token_endpoint or "") for page in pages):
            warnings.append(("token_endpoint", _FINAL_SLASH))
        return errors, warnings

    def page(self, *layers: Mapping[str, Any]) -> PageConfig:
        """The options of a page.

        Args:
            layers: options as written, each laid over those before it, and all over the site's.

        Raises:
            PageOptionsError: an option is wrong.
        """
        names = dict(PageConfig._schema)  # noqa: SLF001 - MkDocs has no other way to ask
        written = {name: value for name, value in self.written.items() if name in names}
        for layer in layers:
            written = merged(written, layer)
        page = PageConfig(self.config_file_path)
        page.load_dict(written)
        errors, warnings = page.validate()
        # Problems of the site's own options have been reported already.
        for name, problem in [*errors, *(line for line in warnings if line not in self.reported)]:
            raise PageOptionsError(f"option '{name}': {problem}")
        return page
