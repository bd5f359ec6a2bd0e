"""Ed25519 verification as RFC 8032 (5.1.7) says it, by the standard library alone: a second opinion on our signatures.

Slow, and only for checking.
"""

from hashlib import sha512

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]


def x_of(y: int, odd: int) -> int | None:
    """The curve's x for this y, even or odd; None where there is none."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or (x == 0 and odd):
        return None
    return x if x % 2 == odd else P - x


def decoded(data: bytes) -> Point | None:
    number = int.from_bytes(data, "little")
    y, odd = number % 2**255, number >> 255
    x = x_of(y, odd) if len(data) == 32 and y < P else None
    return None if x is None else (x, y)


def plus(one: Point, two: Point) -> Point:
    (x1, y1), (x2, y2) = one, two
    product = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P)
    return x % P, y % P


def times(factor: int, point: Point) -> Point:
    total: Point = (0, 1)
    while factor:
        if factor & 1:
            total = plus(total, point)
        point, factor = plus(point, point), factor >> 1
    return total


BASE_Y = 4 * pow(5, -1, P) % P
BASE: Point = (x_of(BASE_Y, 0) or 0, BASE_Y)


def verifies(public_key: bytes, message: bytes, signature: bytes) -> bool:
    key, nonce = decoded(public_key), decoded(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or nonce is None or len(signature) != 64 or scalar >= ORDER:
        return False
    challenge = int.from_bytes(sha512(signature[:32] + public_key + message).digest(), "little") % ORDER
    return times(scalar, BASE) == plus(nonce, times(challenge, key))
