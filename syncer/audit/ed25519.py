"""Checking Ed25519 signatures as RFC 8032 says (5.1.7, in the coordinates of its section 6), for where there is nothing
but Python. It only checks, so it need not hide how long it takes.

Only the standard library of Python 3.8: it goes into the evidence's verify.py as it is.
"""

from __future__ import annotations

from hashlib import sha512

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P


class _Point:
    """(x, y) as X / Z, Y / Z with T = X * Y / Z, so that adding needs no division."""

    def __init__(self, x: int, y: int, z: int, t: int) -> None:
        self.x, self.y, self.z, self.t = x, y, z, t

    def __add__(self, other: _Point) -> _Point:
        a = (self.y - self.x) * (other.y - other.x) % _P
        b = (self.y + self.x) * (other.y + other.x) % _P
        c = 2 * self.t * other.t * _D % _P
        d = 2 * self.z * other.z % _P
        e, f, g, h = b - a, d - c, d + c, b + a
        return _Point(e * f % _P, g * h % _P, f * g % _P, e * h % _P)

    def __rmul__(self, factor: int) -> _Point:
        total, power = _Point(0, 1, 1, 0), self
        while factor > 0:
            if factor & 1:
                total += power
            power, factor = power + power, factor >> 1
        return total

    def same(self, other: _Point) -> bool:
        return (self.x * other.z - other.x * self.z) % _P == 0 == (self.y * other.z - other.y * self.z) % _P


def signature_holds(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether this key signed exactly this."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    key, nonce = _decoded(public_key), _decoded(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or nonce is None or scalar >= _ORDER:
        return False
    challenge = int.from_bytes(sha512(signature[:32] + public_key + message).digest(), "little") % _ORDER
    return (scalar * _BASE).same(nonce + challenge * key)


def _decoded(data: bytes) -> _Point | None:
    number = int.from_bytes(data, "little")
    y, odd = number % 2**255, number >> 255
    return _at(y, odd) if y < _P else None


def _at(y: int, odd: int) -> _Point | None:
    """The point of the curve with this y and an even or odd x; None where there is none."""
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if (x * x - square) % _P or (x == 0 and odd):
        return None
    x = x if x % 2 == odd else _P - x
    return _Point(x, y, 1, x * y % _P)


_BASE_Y = 4 * pow(5, -1, _P) % _P
_BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
_BASE = _Point(_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % _P)
