"""The page on which people allow or deny, as plain HTML that works without a script."""

from collections.abc import Mapping, Sequence
from html import escape

Answer = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers and body."""
HEADERS = [("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-store"), ("X-Frame-Options", "DENY")]


def framed(title: str, body: str) -> bytes:
    style = "body{font:16px sans-serif;max-width:32rem;margin:3rem auto}label{display:block;margin:.4rem 0}"
    metas = '<meta charset=utf-8><meta name=viewport content="width=device-width"><link rel=icon href="data:,">'
    head = f"{metas}<title>{escape(title)}</title><style>{style}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body><main>{body}</main></body></html>".encode()


def consent_page(carried: Mapping[str, str], users: Sequence[str], scopes: Mapping[str, str]) -> Answer:
    """A form with who, what and Allow or Deny; `carried` goes along as it came."""
    hidden = "".join(
        f'<input type=hidden name="{escape(name)}" value="{escape(value)}">' for name, value in carried.items()
    )
    who = "".join(
        f'<label><input type=radio name=user value="{escape(user)}"{" checked" if place == 0 else ""}> '
        f"{escape(user)}</label>"
        for place, user in enumerate(users)
    )
    what = "".join(
        f'<label><input type=checkbox name=granted value="{escape(scope)}" checked> {escape(words)}</label>'
        for scope, words in scopes.items()
    )
    body = (
        f"<h1>Sandbox log-in</h1><form method=post>{hidden}<fieldset><legend>Choose an account</legend>{who}</fieldset>"
        f"<fieldset><legend>Allow the portal to</legend>{what}</fieldset>"
        "<p><button name=decision value=allow>Allow</button> <button name=decision value=deny>Deny</button></p></form>"
    )
    return 200, HEADERS, framed("Sandbox log-in", body)


def error_page(status: int, error: str) -> Answer:
    return status, HEADERS, framed(f"Error {status}", f"<h1>Error {status}: {escape(error)}</h1>")
