"""The description of the People API as a judge: of what a client asks of a stand-in, and of what that answers.

`judged(app)` stands before a stand-in. `asked` are the requests that the description does not allow, whatever came of
them; `let_through` those of them that were answered with success; `answered` the answers that it does not allow.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from sandbox.exchange import BROKEN, Start, Wsgi
from tests.needs import SPECS

RECORDINGS = SPECS / "google-recordings"
NAME = "urn:people"
# Faults after which the answer is no answer of the API any more.
NO_ANSWERS = {*BROKEN, "html_502", "bare_403"}


@cache
def spec() -> Any:
    return json.loads((SPECS / "people.v1.openapi.json").read_text())


def recording(name: str) -> Any:
    return json.loads((RECORDINGS / f"{name}.json").read_text())


@cache
def validator(schema: str) -> Draft202012Validator:
    """Of one of the description's schemas by its name, or of any by its place in the description."""
    registry = Registry().with_resource(NAME, DRAFT202012.create_resource(spec()))
    place = schema if schema.startswith("/") else f"/components/schemas/{schema}"
    return Draft202012Validator({"$ref": f"{NAME}#{place}"}, registry=registry)


def faults(schema: str, value: Any) -> list[str]:
    return [f"{error.json_path}: {error.message[:200]}" for error in validator(schema).iter_errors(value)]


@dataclass(frozen=True)
class Method:
    """One of the API's, where it stands in the description, with what its parameters may be."""

    place: str
    parameters: Mapping[str, Mapping[str, Any]]
    has_body: bool


def method_of(verb: str, path: str) -> Method | None:
    for template, verbs in spec()["paths"].items():
        pattern = re.sub(r"\\\{[^}]*\\\}", "[^/:]+", re.escape(template))
        if re.fullmatch(pattern, path) and verb.lower() in verbs:
            found = verbs[verb.lower()]
            in_query = {each["name"]: each["schema"] for each in found["parameters"] if each["in"] == "query"}
            place = f"/paths/{template.replace('~', '~0').replace('/', '~1')}/{verb.lower()}"
            return Method(place, in_query, "requestBody" in found)
    return None


def request_faults(method: Method | None, query: str, body: bytes) -> list[str]:
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
    return found + faults(pointer(method, "requestBody/content/application~1json/schema"), value)


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
    app: Wsgi
    asked: list[str] = field(default_factory=list)
    let_through: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    count: int = 0

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if not path.startswith("/v1/"):
            return self.app(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        verb, query = environ["REQUEST_METHOD"], environ["QUERY_STRING"]
        if "HTTP_X_HTTP_METHOD_OVERRIDE" in environ:  # an address that would be too long
            verb, query, body = environ["HTTP_X_HTTP_METHOD_OVERRIDE"], body.decode(), b""
        method = method_of(verb, path)
        wrong = request_faults(method, query, body)
        where = f"{verb} {path}"
        self.asked += [f"{where}: {each}" for each in wrong]
        statuses: list[str] = []

        def start(status: str, headers: list[tuple[str, str]]) -> None:
            statuses.append(status)
            start_response(status, headers)

        answer = b"".join(self.app(environ, start))
        self.count += 1
        if environ.get("sandbox.fault") not in NO_ANSWERS:
            self.judge(method, f"{where} {statuses[0]}", int(statuses[0][:3]), wrong, answer)
        return [answer]

    def judge(self, method: Method | None, where: str, status: int, wrong: list[str], answer: bytes) -> None:
        if status < 300:
            self.let_through += [f"{where}: {each}" for each in wrong]
        schema = "_Error"
        if method is not None:
            outcome = "200" if status == 200 else "default"
            schema = pointer(method, f"responses/{outcome}/content/application~1json/schema")
        try:
            self.answered += [f"{where}: {each}" for each in faults(schema, json.loads(answer))]
        except ValueError:
            self.answered.append(f"{where}: no JSON: {answer[:80]!r}")


def judged(app: Wsgi) -> Judged:
    return Judged(app)


def differences(recorded: Any, ours: Any, at: str = "$") -> Iterator[str]:
    """Where the shapes of two values part."""
    match recorded, ours:
        case dict(), dict():
            for name in sorted({*recorded, *ours}):
                if name not in recorded or name not in ours:
                    yield f"{at}.{name} is only in {'the recording' if name in recorded else 'ours'}"
                else:
                    yield from differences(recorded[name], ours[name], f"{at}.{name}")
        case list(), list():
            if len(recorded) != len(ours):
                yield f"{at} has {len(recorded)} items in the recording and {len(ours)} in ours"
            for place, (one, other) in enumerate(zip(recorded, ours, strict=False)):
                yield from differences(one, other, f"{at}[{place}]")
        case _ if type(recorded) is not type(ours):
            yield f"{at}: {type(recorded).__name__} in the recording, {type(ours).__name__} in ours"
