"""Check the signature of a recorded assignment callback again."""

from dataclasses import dataclass

from chalicelib.domain.auth import Action, Principal
from chalicelib.domain.callbacks import OMITTED, Form
from chalicelib.domain.errors import InvalidSignature, NotFound
from chalicelib.domain.reservations import Delivery, Reservation
from chalicelib.usecases.ports import ReservationStore, SignatureVerifier


@dataclass(frozen=True)
class SignatureCheck:
    """The result of checking a signature.

    Attributes:
        delivery: the request that delivered the callback.
        is_valid: whether the signature is valid now. None if some parameters were too large to
            record, so the signature can't be checked.
        likely_cause: the likely cause if the signature is not valid, such as ``auth_token``.
    """

    delivery: Delivery
    is_valid: bool | None
    likely_cause: str | None = None


def check_signature(
    reservation_sid: str,
    *,
    principal: Principal,
    store: ReservationStore,
    signatures: SignatureVerifier,
) -> SignatureCheck:
    """Verify the signature of a recorded callback with the current keys.

    Args:
        reservation_sid: WR….
        principal: the caller.
        store: the Reservation records.
        signatures: the verifier of signatures.

    Raises:
        Forbidden: the caller may not see callbacks.
        NotFound: the Reservation or its delivery is not recorded.
        StoreUnavailable: DynamoDB failed.
        SecretsUnavailable: the keys can't be read.
    """
    principal.authorize(Action.SEE_CALLBACKS)
    reservation, delivery = find_delivery(reservation_sid, store=store)
    form = received_form(reservation)
    if form is None:
        return SignatureCheck(delivery, None)
    try:
        signatures.verify(delivery.url, form, delivery.signature, delivery.settings)
    except InvalidSignature as error:
        return SignatureCheck(delivery, is_valid=False, likely_cause=error.likely_cause)
    return SignatureCheck(delivery, is_valid=True)


def find_delivery(reservation_sid: str, *, store: ReservationStore) -> tuple[Reservation, Delivery]:
    """Return a recorded Reservation and the delivery of its callback.

    Raises:
        NotFound: the Reservation or its delivery is not recorded.
        StoreUnavailable: DynamoDB failed.
    """
    reservation = store.get(reservation_sid)
    if reservation is None:
        raise NotFound("The Reservation is not recorded.")
    if reservation.delivery is None:
        raise NotFound("No callback with a signature is recorded for the Reservation.")
    return reservation, reservation.delivery


def received_form(reservation: Reservation) -> Form | None:
    """Return the callback's form as received; None if it was too large to record completely."""
    callback = reservation.callback or {}
    if OMITTED in callback:
        return None
    return Form(
        [
            (name, value)
            for name, values in callback.items()
            for value in ([values] if isinstance(values, str) else values)
        ]
    )
