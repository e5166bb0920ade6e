from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.sites import OPTIONS, Build, BuildSite, build_site


@pytest.fixture
def build(tmp_path: Path) -> BuildSite:
    """Run `mkdocs build --strict` on a site made of the given pages."""

    def run(
        pages: Mapping[str, str],
        options: Mapping[str, Any] | None = None,
        *,
        strict: bool = True,
        raw_config: str = "",
        **config: object,
    ) -> Build:
        settings = {
            "site_name": "Test",
            "plugins": ["search", {"sentifyd": {**OPTIONS, **(options or {})}}],
            **config,
        }
        return build_site(tmp_path, raw_config or settings, pages, strict=strict)

    return run
