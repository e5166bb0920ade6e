"""Test the plugin on the documentation of other packages; `make real-sites` tries all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.matrix.environments import InstallError
from tests.real_sites.building import try_site
from tests.real_sites.sites import Site, read_sites
from tests.support import missing

SITES = {site.name: site for site in read_sites() if site.in_tests}


@pytest.mark.parametrize("site", SITES.values(), ids=SITES)
def test_real_site_only_gains_avatars(site: Site, tmp_path: Path) -> None:
    try:
        outcome = try_site(site, tmp_path)
    except InstallError as error:
        missing.skip(f"cannot install {site.name}: {error}")

    assert outcome.problems == []
    assert outcome.pages > 1
