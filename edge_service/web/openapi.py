"""The OpenAPI document of the service, for the current settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edge_service.errors import (
    BadRequest,
    BudgetSpent,
    BudgetUnavailable,
    CircuitOpen,
    ContentTooLarge,
    HandleMalformed,
    HandleRefused,
    HeadersTooLarge,
    IdentityUnavailable,
    MethodNotAllowed,
    NotFound,
    OriginNotAllowed,
    RateLimited,
    RequestTimeout,
    ServiceError,
    Unauthenticated,
    UnsupportedMediaType,
    UpstreamBusy,
    UpstreamMalformed,
    UpstreamPaused,
    UpstreamRejected,
    UpstreamTooSlow,
    UpstreamUnreachable,
)
from edge_service.settings import ForwardedRules, JwtRules, Settings
from edge_service.strict_json import JSON
from edge_service.telemetry.version import installed_version
from edge_service.upstream.sentifyd import REFRESH_PARAMETER, TOKENS_SCHEMA
from edge_service.web.cors import ROUTE

__all__ = ["openapi_document"]

Errors = Sequence[type[ServiceError]]

_TEXT: JSON = {"type": "string"}
_NOT_EMPTY: JSON = {"type": "string", "minLength": 1}
_METHODS = ("get", "head", "post", "options")
_JSON_BODY = "application/json"
_FORM = "application/x-www-form-urlencoded"

# Errors that any request can get; the server sends the first two before the application runs.
_ANYWHERE = (BadRequest, HeadersTooLarge, ServiceError)
_UPSTREAM = (
    UpstreamMalformed,
    UpstreamUnreachable,
    UpstreamTooSlow,
    UpstreamBusy,
    UpstreamPaused,
    CircuitOpen,
)
_BODY = (RequestTimeout, ContentTooLarge, UnsupportedMediaType)
_HEADERS_OF: dict[type[ServiceError], tuple[str, ...]] = {
    BudgetSpent: ("Retry-After",),
    BudgetUnavailable: ("Retry-After",),
    CircuitOpen: ("Retry-After",),
    HandleRefused: ("WWW-Authenticate",),
    IdentityUnavailable: ("Retry-After",),
    MethodNotAllowed: ("Allow",),
    RateLimited: ("Retry-After", "RateLimit", "RateLimit-Policy"),
    Unauthenticated: ("WWW-Authenticate",),
    UpstreamBusy: ("Retry-After",),
    UpstreamPaused: ("Retry-After",),
    UpstreamRejected: ("Retry-After",),
}
_ALWAYS = (
    "Cache-Control",
    "Vary",
    "X-Request-ID",
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials",
    "Access-Control-Expose-Headers",
)
_PREFLIGHT = (
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
    "Access-Control-Max-Age",
)


def openapi_document(settings: Settings) -> JSON:
    """An OpenAPI 3.1 document of every route and response that these settings allow.

    It contains no names of avatars and no origins, because the route is public.
    """
    paths: JSON = {}
    if "" in settings.avatars:
        # A reload of the file may remove the default avatar.
        gone = (NotFound,) if settings.avatars_file is not None else ()
        paths[ROUTE] = _token_route(settings, gone)
    if settings.avatars_file is not None or any(settings.avatars):
        avatar = {"name": "avatar", "in": "path", "required": True, "schema": _NOT_EMPTY}
        named = _token_route(settings, (NotFound,))
        paths[ROUTE + "/{avatar}"] = {"parameters": [avatar], **named}
    status = {name: _object(status={"const": name}) for name in ("alive", "ready")}
    paths["/livez"] = _plain_route("The process answers.", _answer("alive", status["alive"]))
    unready = _answer(
        "starting, or draining",
        _object(status={"enum": ["starting", "draining"]}),
        headers=("Retry-After",),
    )
    paths["/readyz"] = _plain_route(
        "Visitors can be served.", _answer("ready", status["ready"]), {"503": unready}
    )
    if settings.metrics_port is None:
        page = _answer("Metrics for Prometheus.", _TEXT, "text/plain")
        paths["/metrics"] = _plain_route("Metrics of the service.", page)
    document = _answer("An OpenAPI document.", {"type": "object"})
    paths["/openapi.json"] = _plain_route("This description.", document)
    components: JSON = {
        "schemas": {"Grant": TOKENS_SCHEMA, "UpstreamRejected": _REJECTED},
        "responses": _deduplicated(paths),
        "headers": _HEADERS,
    }
    if schemes := _security_schemes(settings):
        components["securitySchemes"] = schemes
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mkdocs-sentifyd token service",
            "description": "Exchanges an avatar's secret API key for tokens that a visitor's "
            "browser may have. Other methods get 405, or 403 if the origin is not allowed.",
            "version": installed_version(),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        # Relative to this document, so that it is right below any mount point.
        "servers": [{"url": "."}],
        "paths": paths,
        "components": components,
    }


def _token_route(settings: Settings, gone: Errors) -> JSON:
    rules = settings.visitor_auth
    errors: list[type[ServiceError]] = [OriginNotAllowed, *gone]
    asked = [*errors, RateLimited, *_UPSTREAM]
    # A reload of the file may add a budget.
    if settings.avatars_file is not None or any(
        avatar.login_budget is not None for avatar in settings.avatars.values()
    ):
        asked.append(BudgetSpent)
        if settings.redis_url is not None:
            asked.append(BudgetUnavailable)
    if rules is not None:
        asked.append(Unauthenticated)
    if isinstance(rules, JwtRules):
        asked.append(IdentityUnavailable)
    if settings.seal_keys:
        asked += [HandleMalformed, HandleRefused]
    grant = _answer("Tokens for one visitor.", {"$ref": "#/components/schemas/Grant"})
    in_query = {
        "name": REFRESH_PARAMETER,
        "in": "query",
        "description": "On a refresh: the refreshToken of the previous response. At most once.",
        "schema": _NOT_EMPTY,
    }
    common: JSON = {"parameters": [in_query]}
    if schemes := _security_schemes(settings):
        common["security"] = [{name: []} for name in schemes]
    body = {
        "description": "At most 4 KiB; needed only for a refresh.",
        "content": {
            _JSON_BODY: _schema({REFRESH_PARAMETER: {"type": ["string", "null"], "minLength": 1}}),
            _FORM: _schema({REFRESH_PARAMETER: _NOT_EMPTY}, maxProperties=16),
        },
    }
    get = {"summary": "Tokens for a visitor.", **common}
    post = {"summary": "The same, with a refresh token in the body.", **common}
    return {
        "get": {**get, "responses": _responses({"200": grant}, asked, passed_on=True)},
        "post": {
            **post,
            "requestBody": body,
            "responses": _responses({"200": grant}, [*asked, *_BODY], passed_on=True),
        },
        "options": _options(errors, ("Allow", *_PREFLIGHT)),
    }


def _plain_route(summary: str, answer: JSON, others: JSON | None = None) -> JSON:
    """A public route."""
    responses = _responses({"200": answer, **(others or {})}, ())
    return {
        "get": {"summary": summary, "responses": responses},
        "head": {"summary": "The same without the body.", "responses": {**responses}},
        "options": _options((OriginNotAllowed, MethodNotAllowed), _PREFLIGHT),
    }


def _options(errors: Errors, headers: tuple[str, ...]) -> JSON:
    allowed = _answer("What a page of an allowed origin may send.", headers=headers)
    return {"summary": "CORS preflight.", "responses": _responses({"204": allowed}, errors)}


def _responses(good: JSON, errors: Errors, *, passed_on: bool = False) -> JSON:
    """Responses of a route, errors included.

    Args:
        good: successful responses, by status.
        errors: errors that the route may raise.
        passed_on: whether errors from Sentifyd are passed on, with any status.
    """
    kinds: dict[str, list[type[ServiceError]]] = {}
    everything: Errors = (*_ANYWHERE, *errors)
    for kind in everything:
        kinds.setdefault(str(kind.status), []).append(kind)
    if passed_on:
        kinds.update({"4XX": [], "5XX": []})
    refusals = {status: _error(kinds[status], passed_on=passed_on) for status in sorted(kinds)}
    return {**refusals, **good}


def _error(kinds: Errors, *, passed_on: bool) -> JSON:
    schemas = []
    if kinds:
        codes = [kind.code for kind in kinds]
        schemas = [_object(error=_NOT_EMPTY, code={"enum": codes})]
    if passed_on:
        kinds = [*kinds, UpstreamRejected]
        schemas.append({"$ref": "#/components/schemas/UpstreamRejected"})
    answer = _answer(
        "; ".join(kind.error for kind in kinds) + ".",
        schemas[0] if len(schemas) == 1 else {"oneOf": schemas},
        headers=[name for kind in kinds for name in _HEADERS_OF.get(kind, ())],
    )
    if {BadRequest, HeadersTooLarge}.intersection(kinds):
        # A request that is refused before its head is complete has no ID yet.
        answer["headers"]["X-Request-ID"] = {**_HEADERS["X-Request-ID"], "required": False}
    return answer


def _deduplicated(paths: JSON) -> JSON:
    """Move responses to the components, because identical ones make the document 5 times larger."""
    found: JSON = {}
    operations = (route[m] for route in paths.values() for m in _METHODS if m in route)
    for responses in (operation["responses"] for operation in operations):
        for status, answer in responses.items():
            same = (name for name, known in found.items() if known == answer)
            name = next(same, f"{status}-{len(found)}")
            found[name] = answer
            responses[status] = {"$ref": f"#/components/responses/{name}"}
    return found


def _answer(
    text: str,
    schema: JSON | None = None,
    media_type: str = _JSON_BODY,
    headers: Iterable[str] = (),
) -> JSON:
    names = dict.fromkeys((*_ALWAYS, *headers))
    return {
        "description": text,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
        "content": {} if schema is None else {media_type: {"schema": schema}},
    }


def _object(**properties: JSON) -> JSON:
    """A JSON Schema of an object with exactly these members."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _schema(properties: JSON, **bounds: int) -> JSON:
    return {"schema": {"type": "object", "properties": properties, **bounds}}


def _header(description: str, *, required: bool = False, **schema: object) -> JSON:
    return {"description": description, "required": required, "schema": {**_TEXT, **schema}}


def _security_schemes(settings: Settings) -> JSON:
    """How visitors authenticate; empty if a proxy in front does it for them."""
    rules = settings.visitor_auth
    if rules is None or isinstance(rules, ForwardedRules):
        return {}
    schemes: JSON = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    if rules.cookie is not None:
        schemes["cookie"] = {"type": "apiKey", "in": "cookie", "name": rules.cookie}
    return schemes


_REJECTED = _object(error={"const": UpstreamRejected.error}, code={"const": UpstreamRejected.code})
_REJECTED["description"] = "Sentifyd's error, with its status."
_REJECTED["properties"]["details"] = {"description": "Sentifyd's JSON, if it is at most 4 KiB."}
_HEADERS: JSON = {
    "Access-Control-Allow-Credentials": _header("If a cookie may be needed.", const="true"),
    "Access-Control-Allow-Headers": _header("Headers that a page may send."),
    "Access-Control-Allow-Methods": _header("Methods that a page may use."),
    "Access-Control-Allow-Origin": _header("The page's origin, if it is allowed."),
    "Access-Control-Expose-Headers": _header("Response headers that a page may read."),
    "Access-Control-Max-Age": _header("Lifetime of a preflight in seconds.", pattern="^[0-9]+$"),
    "Allow": _header("The supported methods."),
    "Cache-Control": _header("Responses must not be stored.", required=True, const="no-store"),
    "RateLimit": _header("The exhausted limit, and the seconds until it resets."),
    "RateLimit-Policy": _header("All limits."),
    "Retry-After": _header("Seconds; from Sentifyd also a date.", minLength=1),
    "Vary": _header("Responses depend on the origin.", required=True, const="Origin"),
    "WWW-Authenticate": _header("How to authenticate.", pattern="^Bearer "),
    "X-Request-ID": _header(
        "The one of the request, or a new one.", required=True, pattern="^[A-Za-z0-9._-]{1,64}$"
    ),
}
