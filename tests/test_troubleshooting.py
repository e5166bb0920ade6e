"""The page on troubles names every message that there is, and none that there is not any more."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from functools import cache
from html import unescape
from pathlib import Path

import pytest

from edge_service.admission import identity  # noqa: F401 - all that can be answered
from edge_service.errors import ServiceError
from mkdocs_sentifyd.tags.translations import WORDS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "example_docs/docs/troubleshooting.md"

GAP = "…"
# Texts that are no messages: words of the launcher, help, an API's description, small talk.
OTHER_TEXTS = {
    "mkdocs_sentifyd/tags/translations.py",
    "edge_service/cli/parsing.py",
    "edge_service/web/openapi.py",
    "edge_service/sandbox/avatar.py",
    "edge_service/sandbox/conversation.py",
}
# Neither wrong nor in need of a cure.
ALL_IS_WELL = {
    *("ask it something about this site", "type a message", "A page that is left out"),
    *("(the key that you chose)", "A Sentifyd sandbox for …. Stop with Ctrl-C."),
    "sentifyd-edge …, a token service for Sentifyd avatars. Stop with Ctrl-C.",
    *("a login at Sentifyd for each request", "logins ahead of time, each for one visitor"),
    *("one login for everybody until it expires", "for pages of …"),
    "avtr_... # put your avatar's ID here, from the Sentifyd dashboard",
    "avtr_sandbox # the sandbox takes any",
}
# Names of the second half of a message, whose first half is looked for.
CURES = {"missing", "cure", "cures", "advice", "example", "examples", "why"}
CURES |= {"fix", "fixes", "leads", "paths", "trust", "variable"}
HELP = {"help", "summary", "description", "epilog", "metavar", "usage"}
# Calls whose texts are for machines, go no further than this code, or tell that all is well.
QUIET = {"compile", "render", "cast", "say", "_say", "AttributeError"}
QUIET |= {"Counter", "Gauge", "Histogram", "CounterMetricFamily", "GaugeMetricFamily"}
SCHEMA = re.compile(r"^ *//.*|action\(\"[\w.]+\", \".+?\"|description: [\"`].+?[\"`]", re.MULTILINE)
CODE = re.compile("[a-z]+(?:-[a-z]+)*")
PROGRAMS = re.compile(r"redis\.call|customElements")
LOGGED = {"debug", "info", "warning", "error"}


def words(text: str) -> int:
    """How many words a text has, as sentences have them: no names of headers, no options."""
    return len(re.findall(r"(?<!\S)[(“]?[a-z][a-z'-]*[),.:;]*(?!\S)", text))


def name_of(call: ast.Call) -> str:
    return str(getattr(call.func, "attr", getattr(call.func, "id", "")))


def written(node: ast.AST) -> str | None:
    """A text as it stands in the source, with a gap for whatever is put in."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(written(part) or GAP for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            before, after = written(left), written(right)
            return None if before is None and after is None else f"{before or GAP}{after or GAP}"
    return None


def is_cure(name: str) -> bool:
    return name.lower().lstrip("_").rpartition("_")[2] in CURES


def is_number(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int)


def no_message(node: ast.AST) -> Sequence[ast.AST]:
    """What stands below a node and is something else than the beginning of a message."""
    match node:
        case ast.Expr(value=ast.Constant() as docstring):
            return [docstring]
        case ast.keyword(arg=str(name), value=value) if name in HELP or is_cure(name):
            return [value]
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if is_cure(name):
            return [value]
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.AST() as value) if is_cure(name):
            return [value]
        case ast.AugAssign(target=ast.Name(id=name), value=value) if is_cure(name):
            return [value]
        # Exit statuses, for the help of a command.
        case ast.Dict(keys=keys, values=values) if keys and all(map(is_number, keys)):
            return values
        # A code, what was found, and a cure.
        case ast.Tuple(elts=[ast.Constant(value=str(code)), _, cure]) if CODE.fullmatch(code):
            return [cure]
        case ast.Call(args=args):
            called = name_of(node)
            if called in QUIET:
                return args
            if called == "Verdict":
                is_ok = len(args) > 1 and written(args[1]) == "ok"
                return args if is_ok else args[-1:]
            # The first text of a kind of finding says what is wrong, the second how to fix it.
            if called == "Kind":
                return args[1:]
    return []


def literals(source: str) -> Iterator[tuple[int, str]]:
    tree = ast.parse(source)
    passed: set[int] = set()
    for node in ast.walk(tree):
        for other in no_message(node):
            passed.update(map(id, ast.walk(other)))
        if id(node) in passed or (text := written(node)) is None:
            continue
        passed.update(map(id, ast.walk(node)))
        assert isinstance(node, ast.expr)
        yield node.lineno, re.sub(r"%[sdr]|\{\w*\}", GAP, text)


def beginning(message: str) -> str:
    """What a message says is wrong, without its cure and without the place that it begins with."""
    text = re.sub(r"\s+", " ", message.replace("`", "")).strip()
    text = re.sub(rf"^(?:{GAP}: )+", "", text)
    clauses = re.split("(: |; )", text)
    ends = (clauses[: end + 1] for end in range(0, len(clauses), 2))
    heads = ("".join(head) for head in ends)
    return next((head for head in heads if words(head) > 1), text)


@cache
def messages(least: int = 3) -> dict[str, str]:
    """The beginnings of all messages of both packages, and where each of them stands.

    Args:
        least: words of a text that is taken for a message.
    """
    found: dict[str, str] = {}
    for package in ("mkdocs_sentifyd", "edge_service"):
        for file in sorted((ROOT / package).rglob("*.py")):
            path = file.relative_to(ROOT).as_posix()
            if path in OTHER_TEXTS:
                continue
            for line, text in literals(file.read_text(encoding="utf-8")):
                if words(text) >= least and not PROGRAMS.search(text):
                    found.setdefault(beginning(text), f"{path}:{line}")
    found |= runtime_messages()
    return {text: place for text, place in found.items() if text not in ALL_IS_WELL}


def runtime_messages() -> dict[str, str]:
    found = {WORDS["en"].failed: "mkdocs_sentifyd/tags/translations.py"}
    for file in sorted((ROOT / "mkdocs_sentifyd/runtime").glob("*.js")):
        source = SCHEMA.sub("", file.read_text(encoding="utf-8"))
        for quoted in re.findall(r"\"[^\"\n]*\"|`[^`]+`", source):
            text = re.sub(r"\$\{[^{}]*\}", GAP, quoted[1:-1])
            if words(text) > 0 and " " in text and not re.search("[=,]", text):
                found[text] = f"mkdocs_sentifyd/runtime/{file.name}"
    return found


def events() -> set[str]:
    """Names of the lines that the service writes into its log."""
    found = set()
    for file in (ROOT / "edge_service").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(args=[ast.Constant(value=str(name)), *_]) if name_of(
                    node
                ) in LOGGED and re.fullmatch("[a-z]+(?:_[a-z]+)+", name):
                    found.add(name)
    return found


def answers() -> list[type[ServiceError]]:
    kinds = [ServiceError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return kinds


def spans(markdown: str) -> list[str]:
    """The code in a text: what a reader may compare with what they see."""
    found = re.findall(r"``(.+?)``|`([^`\n]+)`", markdown)
    return [unescape(" ".join((one or other).split())).replace("`", "") for one, other in found]


@cache
def shown() -> list[str]:
    """The code on the page."""
    return spans(PAGE.read_text(encoding="utf-8"))


def pattern(message: str) -> re.Pattern[str]:
    return re.compile(".*?".join(re.escape(piece.strip()) for piece in message.split(GAP)))


def is_shown(message: str) -> bool:
    return any(pattern(message).search(span) for span in shown())


def test_every_message_has_its_cure_on_the_page() -> None:
    assert len(messages()) > 200
    missing = [f"{place}: {text}" for text, place in messages().items() if not is_shown(text)]
    assert not missing, "not on the page:\n" + "\n".join(missing)


def test_every_answer_of_the_service_is_on_the_page() -> None:
    wanted = {kind.code for kind in answers()} | {kind.error for kind in answers()}
    assert len(wanted) > 35
    assert sorted(text for text in wanted if text not in shown()) == []


def verdicts() -> set[str]:
    """Codes of what the doctor finds, wherever one is written."""
    found: list[ast.AST] = []
    for name in ("doctor/checks.py", "doctor/diagnosis.py"):
        for node in ast.walk(ast.parse((ROOT / "edge_service" / name).read_text(encoding="utf-8"))):
            match node:
                case ast.Call(args=[_, code, *_]) if name_of(node) == "Verdict":
                    found.append(code)
                # A code, what was found, and a cure.
                case ast.Tuple(elts=[code, _, _]):
                    found.append(code)
                case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                    found += [
                        value
                        for target, value in zip(names, values, strict=True)
                        if isinstance(target, ast.Name) and target.id == "code"
                    ]
    return {text for node in found if CODE.fullmatch(text := written(node) or "")}


def test_every_verdict_of_the_doctor_is_on_the_page_and_no_other() -> None:
    _, _, page = PAGE.read_text(encoding="utf-8").partition("### Verdicts of `sentifyd-edge doctor")
    rows = re.findall(r"^\| `([a-z-]+)` \|", page.partition("\n### ")[0], re.MULTILINE)
    assert verdicts() >= {"key-refused", "timeout", "malformed", "oversized", "tls", "refused"}
    assert sorted(rows) == sorted(verdicts())


def test_every_line_of_the_log_is_on_the_page() -> None:
    assert events() >= {"redis_unavailable", "pool_not_filled", "avatars_not_reloaded"}
    assert sorted(event for event in events() if event not in shown()) == []


def test_no_message_on_the_page_is_gone() -> None:
    # Where so little is fixed, everything would fit.
    fixed = [text for text in messages(least=2) if len(text.replace(GAP, "")) > 7]
    patterns = [pattern(text) for text in fixed]
    _, _, tables = PAGE.read_text(encoding="utf-8").partition("\n## Every message")
    told = [text for text in spans(tables) if words(text) > 2 or re.match(r"[A-Z_]+ is ", text)]
    known = {kind.error for kind in answers()}
    assert len(told) > 150
    gone = [
        text for text in told if text not in known and not any(p.search(text) for p in patterns)
    ]
    assert not gone, "on the page, and no message any more:\n" + "\n".join(gone)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("raise ValueError('it is not there: look again')", ["it is not there"]),
        ("raise ValueError(f'{name} is not there: look again')", ["… is not there"]),
        ("problems.append('this is wrong ' + why)", ["this is wrong …"]),
        ("log.warning('%s: %s is not there', a, b)", ["… is not there"]),
        ("def f():\n    'What it does and why.'", []),
        ("x.add_argument(help='what it is for')", []),
        ("Kind('what was found', 'what to do about it')", ["what was found"]),
        ("Verdict('redis', 'a-code', 'what was found', 'what to do')", ["what was found"]),
    ],
)  # fmt: skip
def test_how_messages_are_found(source: str, found: list[str]) -> None:
    texts = [beginning(text) for _, text in literals(source) if words(text) > 2]
    assert texts == found
