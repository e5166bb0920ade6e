"""The answers of the sandbox's avatar: an echo, or results of the page's search action."""

from __future__ import annotations

from collections.abc import Set
from urllib.parse import urlsplit

from edge_service.sandbox.conversation import CallFailed, CallRefused, Conversation, Link

__all__ = ["answer", "greeting"]

SEARCH = "docs.search"
OPEN_PAGE = "docs.open_page"
MAX_HITS = 3
MAX_QUERY = 200
MAX_TITLE = 200
MAX_EXCERPT = 300
MAX_URL = 2000
DISCLAIMER = "This sandbox only searches; the real avatar would answer in its own words."


def greeting(actions: Set[str]) -> str:
    """The first line of the conversation, for a page with these actions."""
    if SEARCH not in actions:
        return "Hello! I am a sandbox: I repeat what you write."
    hint = " Write “open” and a few words to go to a page." if OPEN_PAGE in actions else ""
    return f"Hello! I am a sandbox: ask me something, and I search this site for it.{hint}"


async def answer(text: str, conversation: Conversation) -> None:
    """Answer one message of the visitor."""
    if SEARCH not in conversation.actions:
        await conversation.say(
            f"You wrote: “{text}”. The real avatar would answer here; this sandbox only echoes."
        )
        return
    try:
        await _look_up(text, conversation)
    except CallRefused:
        await conversation.say("You did not allow it, so I did nothing.")
    except CallFailed as error:
        await conversation.say(f"That did not work: {error}.")


async def _look_up(text: str, conversation: Conversation) -> None:
    wanted = text[5:].strip() if text.lower().startswith("open ") else ""
    query = (wanted or text)[:MAX_QUERY]
    hits = _links(await conversation.call(SEARCH, {"query": query, "limit": MAX_HITS}))
    if not hits:
        await conversation.say(f"I searched this site and found nothing. {DISCLAIMER}")
    elif wanted and OPEN_PAGE in conversation.actions:
        # Before the action, which may replace the page that shows this message.
        await conversation.say("I open the page that fits best:", hits[:1])
        await conversation.call(OPEN_PAGE, {"url": hits[0]["url"]})
    else:
        await conversation.say(f"I searched this site and found these pages. {DISCLAIMER}", hits)


def _links(result: object) -> list[Link]:
    match result:
        case {"results": list(hits)}:
            links = (_link(hit) for hit in hits[:MAX_HITS])
            return [link for link in links if link is not None]
    raise CallFailed(f"{SEARCH} returned no list of results")


def _link(hit: object) -> Link | None:
    match hit:
        case {"title": str(title), "url": str(url), **more} if len(url) <= MAX_URL and _is_web(url):
            section = more.get("section")
            text = f"{title}: {section}" if isinstance(section, str) and section else title
            excerpt = more.get("excerpt")
            return {
                "text": text[:MAX_TITLE],
                "url": url,
                "excerpt": excerpt[:MAX_EXCERPT] if isinstance(excerpt, str) else "",
            }
    return None


def _is_web(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("http", "https")
    except ValueError:
        return False
