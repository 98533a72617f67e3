import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from chalicelib.adapters.secrets import FixedSecrets, Secrets
from chalicelib.adapters.twilio.signature import SignatureVerifier
from chalicelib.domain.callbacks import Form
from chalicelib.domain.errors import InvalidSignature

URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
CALL = [
    ("CallSid", "CA1234567890ABCDE"),
    ("Caller", "+14158675309"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
]


def verifier(*auth_tokens: str, **shared_keys: str) -> SignatureVerifier:
    return SignatureVerifier(FixedSecrets(Secrets(auth_tokens, {}, shared_keys)))


texts = st.text(st.characters(codec="utf-8"), max_size=30)
parameter_lists = st.lists(st.tuples(texts, texts), max_size=12)


@pytest.mark.parametrize(
    ("url", "form", "signature"),
    [
        (URL, CALL, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (URL.replace(".com", ".com:443"), CALL, "kvajT1Ptam85bY51eRf/AJRuM3w="),
        (
            "https://mycompany.com/myapp.php?foo=1&bar=2",
            [("Sid", "CA123"), ("SidAccount", "AC123")]
            + [("Digits", digits) for digits in ("5678", "1234", "1234")],
            "IK+Dwps556ElfBT0I3Rgjkr1wJU=",
        ),
    ],
)
def test_signatures_of_twilio_test_vectors_are_valid(
    url: str, form: list[tuple[str, str]], signature: str
) -> None:
    verifier("12345").verify(url, Form(form), signature)


@given(
    parameter_lists,
    st.sampled_from(["https://a.test/x", "http://127.0.0.1:8000/assignment_callback"]),
)
def test_sdk_signature_is_valid_only_for_its_token(
    parameters: list[tuple[str, str]], url: str
) -> None:
    form = Form(parameters)
    signature = RequestValidator("right").compute_signature(url, form)

    verifier("right").verify(url, form, signature)
    verifier("new", "right").verify(url, form, signature)
    with pytest.raises(InvalidSignature):
        verifier("wrong").verify(url, form, signature)


@given(parameter_lists, texts | st.none() | st.text(min_size=28, max_size=28))
def test_arbitrary_signature_is_invalid(
    parameters: list[tuple[str, str]], signature: str | None
) -> None:
    with pytest.raises(InvalidSignature):
        verifier("right").verify("https://a.test/x", Form(parameters), signature)
