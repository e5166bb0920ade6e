"""Options in front matter that nothing reads are reported, with the line and the reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mkdocs_sentifyd.options.numbers import misread_number
from mkdocs_sentifyd.site.config_file import SiteError, read_config
from mkdocs_sentifyd.site.front_matter import PageError, problem_of_notebook, read_front_matter
from tests.support.sites import BuildSite

IGNORED = (
    "`sentifyd` is not read: front matter begins on the first line of the file, between two lines "
    "of exactly three dashes, with a line after them"
)
OFF = "sentifyd: false\n"
LOST = {
    "a comment before it": (f"<!-- license -->\n---\n{OFF}---\n# A\n", 3),
    "several comments": ("<!-- a -->\n" * 3 + f"\n---\ntitle: A\n{OFF}---\n# A\n", 7),
    "a blank line before it": (f"\n---\n{OFF}---\n# A\n", 3),
    "a space before it": (f" ---\n{OFF}---\n# A\n", 2),
    "a second byte order mark": (f"\ufeff\ufeff---\n{OFF}---\n# A\n", 2),
    "long dashes": (f"-----\n{OFF}-----\n# A\n", 2),
    "a long line at the end": (f"---\n{OFF}-----\n# A\n", 2),
    "TOML": ("+++\nsentifyd = false\n+++\n# A\n", 2),
    "no line after it": (f"---\n{OFF}---", 2),
    "Windows line ends": (f"\n---\n{OFF}---\n# A\n".replace("\n", "\r\n"), 3),
}
READ = {
    "usual": f"---\n{OFF}---\n# A\n",
    "spaces after the dashes": f"---  \n{OFF}---\t\n# A\n",
    "dots": f"---\n{OFF}...\n# A\n",
    "a byte order mark": f"\ufeff---\n{OFF}---\n# A\n",
    "nothing after the name": "---\nsentifyd:\n---\n# A\n",
    "a mapping": "---\nsentifyd: {captions: true}\n---\n# A\n",
}
OTHER = {
    "a second block": f"---\ntitle: A\n---\n\n---\n{OFF}---\n# A\n",
    "rules": "---\n\nNote: a: b\nsentifyd: this is text.\n\n---\n",
    "a sample": f"# A\n\n```yaml\n---\n{OFF}---\n```\n",
    "a sample after a rule": f"---\n```yaml\n{OFF}```\n---\n",
    "an indented sample": f"---\nText:\n\n    {OFF}\n---\n",
    "text": "# A\n\nThe option sentifyd: false.\n",
    "a heading": "sentifyd\n---\n\nText.\n\n---\n",
    "many comments": "<!-- a -->" * 2000 + OFF,
}


def test_front_matter_that_mkdocs_ignores_is_reported_with_the_line(build: BuildSite) -> None:
    names = {name: f"p{number}.md" for number, name in enumerate(LOST)}
    built = build({"index.md": "# A\n", **{names[name]: text for name, (text, _) in LOST.items()}})

    assert built.status == 1
    for name, (_, line) in LOST.items():
        assert f"WARNING -  sentifyd: {names[name]}: line {line}: {IGNORED}\n" in built.output, name
    # It may ask for no avatar.
    for name in LOST:
        assert built.page(f"{names[name].removesuffix('.md')}/index.html").elements() == []


def test_front_matter_that_mkdocs_reads_is_not_reported(build: BuildSite) -> None:
    texts = [*READ.values(), *OTHER.values()]
    built = build({f"p{number}.md": text for number, text in enumerate(texts)})

    assert built.status == 0, built.output


def test_name_in_another_case_is_reported(build: BuildSite) -> None:
    built = build({"index.md": "---\nSentifyd: false\n---\n# A\n"})

    assert built.status == 1
    assert "index.md: `Sentifyd` in the front matter is not read: write `sentifyd`" in built.output


@pytest.mark.parametrize("name", [name for name in LOST if name != "TOML"])
def test_ignored_front_matter_is_an_error_of_inject_too(name: str) -> None:
    text, line = LOST[name]
    with pytest.raises(PageError) as raised:
        read_front_matter(text.removeprefix("\ufeff"))

    assert str(raised.value) == f"line {line}: {IGNORED}"


def notebook(source: object) -> str:
    return json.dumps({"cells": [{"cell_type": "raw", "source": source}], "nbformat": 4})


@pytest.mark.parametrize(
    "source", [f"---\n{OFF}---\n\n# A", ["---\n", "title: A\n", OFF, "---\n"], f"\n---\n{OFF}---"]
)
def test_options_in_the_first_cell_of_a_notebook_are_reported(source: object) -> None:
    text = source if isinstance(source, str) else "title"
    line = 3 if text.startswith(("\n", "title")) else 2
    assert problem_of_notebook(notebook(source)) == (
        f"first cell, line {line}: `sentifyd` is not read in a notebook: remove it, and name "
        "the page in include or exclude"
    )


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"cells": []}', notebook("# sentifyd"), notebook(7)]
)
def test_other_notebooks_are_not_reported(text: str) -> None:
    assert problem_of_notebook(text) is None


def test_build_reports_options_in_a_notebook(build: BuildSite, tmp_path: Path) -> None:
    # Like mkdocs-jupyter, which makes a page of the file and reads no front matter from it.
    (tmp_path / "hook.py").write_text(
        "from mkdocs.structure.files import File\n"
        "File.is_documentation_page = lambda file: file.src_uri.endswith(('.md', '.ipynb'))\n"
    )
    built = build({"index.md": "# A\n", "n.ipynb": notebook(f"---\n{OFF}---\n")}, hooks=["hook.py"])

    assert (
        "WARNING -  sentifyd: n.ipynb: first cell, line 2: `sentifyd` is not read" in built.output
    )


MISREAD = {
    "0123": "0123 as the number 83",
    "0x1f": "0x1f as the number 31",
    "0b101": "0b101 as the number 5",
    "1_000": "1_000 as the number 1000",
    "1:30": "1:30 as the number 90",
    "+5": "+5 as the number 5",
    "true": "it as true or false",
    "off": "it as true or false",
    "1.5": "it as a decimal number",
    "1.0e+5": "it as a decimal number",
    "2024-01-31": "it as a date",
    "2024-01-31 10:00:00": "it as a date",
}
EXACT = ["83", "'0123'", '"0x1f"', "0189", "1e5", "123456", "12e", "0"]
SITE = "plugins:\n- sentifyd:\n    avatar_id: {} # 0123\n    token_endpoint: /r\n"


def problems(folder: Path, config: str) -> list[str]:
    """What is wrong with the options in an mkdocs.yml."""
    (folder / "mkdocs.yml").write_text(config)
    try:
        read_config(folder / "mkdocs.yml")
    except SiteError as error:
        return [line.partition("mkdocs.yml: ")[2] for line in str(error).splitlines()]
    return []


@pytest.mark.parametrize("written", MISREAD)
def test_unquoted_id_that_yaml_changes_is_refused(tmp_path: Path, written: str) -> None:
    problem = f"option 'avatar_id': must be in quotes: without them, YAML reads {MISREAD[written]}"

    assert problems(tmp_path, SITE.format(written)) == [problem]
    overrides = f"    overrides: [{{match: '*', avatar_id: {written}}}]\n"
    assert problems(tmp_path, SITE.format("a") + overrides) == [
        f"option 'overrides': entry 1: {problem}"
    ]
    (tmp_path / "base.yml").write_text(SITE.format(written))
    assert problems(tmp_path, "INHERIT: base.yml\n") == [problem]


@pytest.mark.parametrize("written", EXACT)
def test_id_that_yaml_reads_as_it_is_written_is_accepted(tmp_path: Path, written: str) -> None:
    assert problems(tmp_path, SITE.format(written)) == []


def test_unquoted_id_in_front_matter_is_refused(build: BuildSite) -> None:
    front = "---\nsentifyd:\n  avatar_id: {}\n---\n# A\n"
    pages = {f"p{number}.md": front.format(text) for number, text in enumerate([*MISREAD, *EXACT])}
    built = build(pages)

    warnings = [line for line in built.output.splitlines() if line.startswith("WARNING")]
    assert sorted(warnings) == sorted(
        f"WARNING -  sentifyd: p{number}.md: `sentifyd` in the front matter: option 'avatar_id': "
        f"must be in quotes: without them, YAML reads {read}"
        for number, read in enumerate(MISREAD.values())
    )


def test_numbers_elsewhere_do_not_matter() -> None:
    text = "# avatar_id: 0123\navatar_id: 83\nother: 0123\n"

    assert misread_number(text, 83) is None
    assert misread_number("avatar_id: 0123\n", "83") is None
    assert misread_number("avatar_id: 0123\n", True) is None
