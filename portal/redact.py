"""What must not stand in a log line is taken out: the second line of defence, behind not writing it in the first place.

Pure; from patterns alone it cannot know a contact's name, so of an exception only the words of those are shown that
speak of our code or of the machine (`words_of`).
"""

import re

REMOVED = "[removed]"
MOST = 20_000
"""Characters of a text that are looked at and kept."""

_HEADERS = r"(?:proxy-)?authorization|(?:set-)?cookie|x-[\w-]{1,30}-key"
_NAMES = r"password|passwd|secret|token|session_?key|access_?key|secret_?key|api_?key|encryption_?keys?"
_VALUE = r"\"[^\"]*\"|'[^']*'|[^\s,;&})]+"
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # A header with all that follows in its line.
    (re.compile(rf"(?i)\b({_HEADERS})\b(['\"]?\s*[:=]).*"), r"\1\2 [removed]"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), r"\1 [removed]"),
    (re.compile(rf"(?i)\b([\w-]{{0,30}}?(?:{_NAMES}))(['\"]?\s*[=:]\s*)({_VALUE})"), r"\1\2[removed]"),
    (re.compile(r"\bcpk_[\w.~-]+"), REMOVED),
    (re.compile(r"\bgAAAA[\w=-]{20,}"), REMOVED),
    (re.compile(r"(\w{1,20}://)[^\s/@'\"]{1,300}@"), r"\1[removed]@"),
    (re.compile(r"(\w{1,20}://[^\s?'\"<>]{1,2000})\?[^\s'\"<>]+"), r"\1?[removed]"),
    (re.compile(r"[\w.!#$%&*+/=?^`{|}~-]{1,64}(?:@|%40)[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"), REMOVED),
)
_LONG = re.compile(r"(?=[^/]*[0-9])(?=[^/]*[A-Za-z])[A-Za-z0-9_~-]{20,}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OURS = ("portal", "connections", "syncer", "sandbox")
_OF_THE_MACHINE = frozenset(
    {
        "django.core.exceptions.ImproperlyConfigured",
        "django.db.utils.OperationalError",
        "django.db.utils.ProgrammingError",
        "django.db.utils.IntegrityError",
        "django.db.utils.InterfaceError",
        "sqlite3.OperationalError",
        "sqlite3.IntegrityError",
    }
)
_OF_THE_CODE = (OSError, ImportError, AttributeError, NameError, TypeError, RecursionError, MemoryError)


def redacted(text: str) -> str:
    for pattern, instead in _PATTERNS if len(text) <= MOST else ():
        text = pattern.sub(instead, text)
    return text if len(text) <= MOST else f"{redacted(text[:MOST])} [cut off]"


def path(asked: str) -> str:
    """The path of a request, without its segments that are probably secrets: long, of letters and digits, and no UUID
    (those are our public codes)."""
    return redacted("/".join(REMOVED if _is_secret(part) else part for part in asked.split("/")))


def _is_secret(part: str) -> bool:
    return _LONG.fullmatch(part) is not None and _UUID.fullmatch(part) is None


def words_of(error: BaseException) -> str:
    """The first line of an exception's text where it may be shown; "" where it may hold a value that was worked on.
    (What follows the first line of a database's error is the row.)"""
    kind = type(error)
    name = f"{kind.__module__}.{kind.__qualname__}"
    of_the_code = isinstance(error, _OF_THE_CODE) and kind.__module__ == "builtins"
    if not (of_the_code or name in _OF_THE_MACHINE or kind.__module__.partition(".")[0] in _OURS):
        return ""
    return redacted(str(error).partition("\n")[0])
