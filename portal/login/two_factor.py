"""The acts of people on their second factor: one function each, recorded in the transaction of what it does."""

from urllib.parse import quote, urlencode

import qrcode
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from qrcode.image.svg import SvgPathFillImage

from connections.services import Refused
from portal.clock import SYSTEM, Clock
from portal.models import DIGITS, STEP_SECONDS, Authenticator, RecoveryCode
from syncer.audit.chain import JSON, PORTAL, Entry, append

ISSUER = "Counterpart"
WRONG = "This code is not right, or was used already. Wait for the next one; the clock of your phone must be right."
WAIT = "Too many wrong codes. Wait a moment, then try the next one."
NOT_BEGUN = "Begin again: this page is older than what you started last."


def required() -> bool:
    mode: str = settings.TWO_FACTOR
    return mode == "required"


def in_use(user: User) -> Authenticator | None:
    return Authenticator.objects.filter(user_id=user.pk, confirmed=True).first()


def begun(user: User) -> Authenticator | None:
    """What the person is setting up and has not confirmed yet."""
    return Authenticator.objects.filter(user_id=user.pk, confirmed=False).order_by("-pk").first()


def begin(user: User, clock: Clock = SYSTEM) -> Authenticator:
    with transaction.atomic():
        Authenticator.objects.filter(user_id=user.pk, confirmed=False).delete()
        return Authenticator.make(user, clock.now())


def confirm(user: User, code: str, clock: Clock = SYSTEM) -> tuple[Authenticator, list[str]]:
    """Turn it on with a first code: the device, and the recovery codes, which are shown this once. Raises Refused,
    SecretUnreadable."""
    device = begun(user)
    if device is None or in_use(user) is not None:
        raise Refused(NOT_BEGUN)
    check(device, code, clock, recovery=False)
    with transaction.atomic():
        if Authenticator.objects.filter(pk=device.pk, confirmed=False).update(confirmed=True) != 1:
            raise Refused(NOT_BEGUN)
        codes = RecoveryCode.make(device)
        append(PORTAL, [entry("auth.two_factor_on", user, user.get_username())], clock.now())
    device.refresh_from_db()
    return device, codes


def new_codes(user: User, code: str, clock: Clock = SYSTEM) -> list[str]:
    """Recovery codes in place of those that were there. Raises Refused, SecretUnreadable."""
    device = verified(user, code, clock)
    with transaction.atomic():
        codes = RecoveryCode.make(device)
        append(PORTAL, [entry("auth.recovery_codes_made", user, user.get_username())], clock.now())
    return codes


def turn_off(user: User, code: str, clock: Clock = SYSTEM) -> None:
    """Raises Refused, SecretUnreadable."""
    verified(user, code, clock)
    reset(user, user.get_username(), clock)


def reset(user: User, actor: str, clock: Clock = SYSTEM) -> None:
    """Without a code: by an administrator, or on the machine. Raises Refused where there is nothing to reset."""
    with transaction.atomic():
        if Authenticator.objects.filter(user_id=user.pk, confirmed=True).delete()[0] == 0:
            raise Refused("Two-factor log-in is not on.")
        Authenticator.objects.filter(user_id=user.pk).delete()
        append(PORTAL, [entry("auth.two_factor_off", user, actor)], clock.now())


def verified(user: User, code: str, clock: Clock = SYSTEM) -> Authenticator:
    """The person's authenticator, after a code of it or a recovery code. Raises Refused, SecretUnreadable."""
    device = in_use(user)
    if device is None:
        raise Refused("Two-factor log-in is not on.")
    check(device, code, clock, recovery=True)
    return device


def check(device: Authenticator, code: str, clock: Clock, recovery: bool) -> None:
    """Raises Refused for a wrong code; each further one has to wait longer. Raises SecretUnreadable."""
    now = clock.now()
    if not device.may_try(now):
        raise Refused(WAIT)
    plain = "".join(code.split())
    if plain.isascii() and plain.isdecimal() and len(plain) == DIGITS:
        right = device.takes(plain, now)
    else:
        right = recovery and used_recovery(device, plain, clock)
    if not right:
        raise Refused(WRONG)
    device.tried_well()


def used_recovery(device: Authenticator, code: str, clock: Clock) -> bool:
    with transaction.atomic():
        if not device.takes_recovery(code):
            return False
        left = device.recovery_codes.count()
        user = device.user
        append(PORTAL, [entry("auth.recovery_code_used", user, user.get_username(), left=left)], clock.now())
    return True


def entry(kind: str, user: User, actor: str, **header: JSON) -> Entry:
    return Entry(kind, actor, {"user": user.pk, **header}, {"user": user.get_username()})


def address_of(device: Authenticator) -> str:
    """The otpauth address that authenticator apps read. It holds the key."""
    known = {"secret": device.key_text, "issuer": ISSUER, "digits": DIGITS, "period": STEP_SECONDS}
    return f"otpauth://totp/{ISSUER}:{quote(device.user.get_username(), safe='')}?{urlencode(known)}"


def picture_of(device: Authenticator) -> str:
    """A QR code of `address_of`, as an SVG element."""
    code = qrcode.QRCode(border=2)
    code.add_data(address_of(device))
    svg: str = code.make_image(image_factory=SvgPathFillImage).to_string(encoding="unicode")
    return svg
