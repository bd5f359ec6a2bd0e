"""An app's own description of its API (OpenAPI) as a judge of what a client asks of a stand-in, and of its answers.

`Judged` stands before a stand-in. `asked` are the requests that the description does not allow, whatever came of them;
`let_through` those of them that were answered with success; `answered` the answers that it does not allow.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from sandbox.exchange import Start, Wsgi


@dataclass(frozen=True)
class Method:
    """One of the API's, where it stands in the description, with what its parameters may be."""

    place: str
    parameters: Mapping[str, Mapping[str, Any]]
    has_body: bool
    outcomes: frozenset[str]


class Description:
    """`read` gives the description, which is of the addresses `under`; `prefix` is what its paths come after. `error`
    is the schema of an answer where there is no such method."""

    def __init__(self, name: str, read: Callable[[], Any], under: str, prefix: str, error: str) -> None:
        self.name, self.under, self.prefix, self.error, self._read = f"urn:{name}", under, prefix, error, read
        self.validator = lru_cache(maxsize=None)(self._validator)
        self.method_of = lru_cache(maxsize=4096)(self._method_of)

    @cached_property
    def spec(self) -> Any:
        return self._read()

    @cached_property
    def _registry(self) -> Any:
        return Registry().with_resource(self.name, DRAFT202012.create_resource(self.spec))

    @cached_property
    def _paths(self) -> list[tuple[re.Pattern[str], str]]:
        """Those without a variable first: they are the better match."""
        templates = sorted(self.spec["paths"], key=lambda one: (one.count("{"), one))
        return [(re.compile(re.sub(r"\\\{[^}]*\\\}", "[^/:]+", re.escape(one))), one) for one in templates]

    def _validator(self, schema: str) -> Draft202012Validator:
        """Of one of the description's schemas by its name, or of any by its place in the description."""
        place = schema if schema.startswith("/") else f"/components/schemas/{schema}"
        return Draft202012Validator({"$ref": f"{self.name}#{place}"}, registry=self._registry)

    def faults(self, schema: str, value: Any) -> list[str]:
        return [f"{error.json_path}: {error.message[:200]}" for error in self.validator(schema).iter_errors(value)]

    def _method_of(self, verb: str, path: str) -> Method | None:
        for pattern, template in self._paths:
            verbs = self.spec["paths"][template]
            if verb.lower() in verbs and pattern.fullmatch(path.removeprefix(self.prefix) or "/"):
                found = verbs[verb.lower()]
                parameters = found.get("parameters", [])
                in_query = {each["name"]: each["schema"] for each in parameters if each["in"] == "query"}
                place = f"/paths/{template.replace('~', '~0').replace('/', '~1')}/{verb.lower()}"
                return Method(place, in_query, "requestBody" in found, frozenset(found["responses"]))
        return None

    def request_faults(self, method: Method | None, query: str, body: bytes) -> list[str]:
        if method is None:
            return ["there is no such method"]
        found: list[str] = []
        for name, texts in parse_qs(query, keep_blank_values=True).items():
            if name not in method.parameters:
                found.append(f"there is no parameter {name}")
            else:
                found += [f"{name}={text}" for text in texts if not fits(method.parameters[name], text)]
        if not method.has_body:
            return found + (["a body that is not asked for"] if body else [])
        try:
            value = json.loads(body)
        except ValueError:
            return [*found, "the body is no JSON"]
        return found + self.faults(pointer(method, "requestBody/content/application~1json/schema"), value)

    def answer_faults(self, method: Method | None, status: int, answer: bytes) -> list[str]:
        schema = self.error
        if method is not None:
            outcome = str(status) if str(status) in method.outcomes else "default"
            schema = pointer(method, f"responses/{outcome}/content/application~1json/schema")
        if status == 204:
            known = method is None or "204" in method.outcomes
            return [] if known and not answer else ["no such answer is known, or one with a body"]
        try:
            return self.faults(schema, json.loads(answer))
        except ValueError:
            return [f"no JSON: {answer[:80]!r}"]


def pointer(method: Method, rest: str) -> str:
    """As it stands in a URI: braces and the like in percent."""
    return re.sub(r"[{}]", lambda brace: f"%{ord(brace[0]):02X}", f"{method.place}/{rest}")


def fits(schema: Mapping[str, Any], text: str) -> bool:
    """Could a query's text be this?"""
    match schema["type"]:
        case "array":
            return fits(schema["items"], text)
        case "boolean":
            return text in ("true", "false")
        case "integer":
            return re.fullmatch(r"-?\d+", text) is not None
    return "enum" not in schema or text in schema["enum"]


@dataclass
class Judged:
    """`no_answers` are faults of the stand-in after which its answer is no answer of the API any more."""

    app: Wsgi
    description: Description
    no_answers: frozenset[str]
    asked: list[str] = field(default_factory=list)
    let_through: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    count: int = 0

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if not path.startswith(self.description.under):
            return self.app(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        verb, query = environ["REQUEST_METHOD"], environ["QUERY_STRING"]
        if "HTTP_X_HTTP_METHOD_OVERRIDE" in environ:  # an address that would be too long
            verb, query, body = environ["HTTP_X_HTTP_METHOD_OVERRIDE"], body.decode(), b""
        method = self.description.method_of(verb, path)
        wrong = self.description.request_faults(method, query, body)
        where = f"{verb} {path}"
        self.asked += [f"{where}: {each}" for each in wrong]
        statuses: list[str] = []

        def start(status: str, headers: list[tuple[str, str]]) -> None:
            statuses.append(status)
            start_response(status, headers)

        answer = b"".join(self.app(environ, start))
        self.count += 1
        status = int(statuses[0][:3])
        if environ.get("sandbox.fault") not in self.no_answers:
            if status < 300:
                self.let_through += [f"{where}: {each}" for each in wrong]
            faults = self.description.answer_faults(method, status, answer)
            self.answered += [f"{where} {statuses[0]}: {each}" for each in faults]
        return [answer]
