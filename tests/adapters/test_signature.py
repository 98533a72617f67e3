import re
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from urllib.parse import parse_qsl, quote, quote_plus, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from chalicelib.adapters.secrets import FixedSecrets, Secrets
from chalicelib.adapters.twilio.signature import LikelyCause, SignatureVerifier, query_strings
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
def test_signature_computed_by_the_sdk_is_valid_only_for_the_same_auth_token(
    parameters: list[tuple[str, str]], url: str
) -> None:
    form = Form(parameters)
    signature = RequestValidator("right").compute_signature(url, form)

    assert verifier("right").verify(url, form, signature) == url
    assert verifier("new", "right").verify(url, form, signature) == url
    with pytest.raises(InvalidSignature):
        verifier("wrong").verify(url, form, signature)


@pytest.mark.parametrize("query", ["", "?a=1&b=2", "?b=2&a=1", "?a=%7E+x", "?a", "?a="])
@pytest.mark.parametrize("host", ["a.test", "a.test:443", "a.test:8443"])
def test_verification_returns_the_signed_url_including_its_query(host: str, query: str) -> None:
    signed_url = f"https://{host}/x{query}"
    form = Form([("a", "1")])
    signature = RequestValidator("right").compute_signature(signed_url, form)
    pairs = parse_qsl(query.removeprefix("?"), keep_blank_values=True)

    url = f"https://{host.removesuffix(':443')}/x"
    found = verifier("right").verify(url, form, signature, query=pairs)

    assert found == signed_url
    assert verifier("right").verify(found, form, signature) == found


@given(parameter_lists, texts | st.none() | st.text(min_size=28, max_size=28))
def test_arbitrary_signature_is_invalid(
    parameters: list[tuple[str, str]], signature: str | None
) -> None:
    with pytest.raises(InvalidSignature):
        verifier("right").verify("https://a.test/x", Form(parameters), signature)


ROUTE = "https://example.test/prod/assignment_callback"
FORM = Form([("TaskAttributes", '{"a": 1}'), ("ReservationSid", "WR1")])
plain_texts = st.text("abcXYZ019-_.~", min_size=1, max_size=8)


def sign(url: str, token: str = "right") -> str:
    return str(RequestValidator(token).compute_signature(url, FORM))


def decoded(query: str) -> list[tuple[str, str]]:
    """Return the parameters of a query string as API Gateway does: decoded and grouped by name."""
    pairs = parse_qsl(query, keep_blank_values=True)
    return [pair for name in dict(pairs) for pair in pairs if pair[0] == name]


@pytest.mark.parametrize(
    "query",
    [
        "tenant=acme",
        "tenant=acme&tenant=blue",
        "a=1&b=2&a=3",
        "d=1&c=2&b=3&a=4",
        "tenant=acme%20corp",
        "tenant=acme+corp&x=%2B",
        "flag",
        "flag=",
        "flag&tenant=acme",
        "name=O'Neill!(*)",
        "url=https://example.com/a?b=c,d;e@f:8443/$",
        "url=https%3A%2F%2Fexample.com%2F%3Fa%3Db%26c",
        "ids[]=1&ids[]=2",
        "ids%5B%5D=1",
        "name=%C3%A9%E2%82%AC%F0%9F%98%80",
        "token=YWJj==",
        "percent=100%25",
        "bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620",
        "a=1&a=1",
        "home=%7Ealice",
        "home=~alice",
        "home=~alice%21",
        "name=~O'Neill&path=%2Fa",
        "a%7E=x*y+z%21",
        "path=%2F%7Ea&b=%2A",
        "d=%7E&c=2&b=3&a=4",
        "a=1&b=2&c=3&d=4&e=5",
        "&".join(f"name{number}=value" for number in range(200)),
    ],
)
@pytest.mark.parametrize("path", ["", "/"])
def test_signature_of_a_url_with_a_query_string_is_valid(path: str, query: str) -> None:
    signature = sign(f"{ROUTE}{path}?{query}")
    verifier("old", "right").verify(ROUTE + path, FORM, signature, query=decoded(query))


@given(
    st.lists(st.tuples(plain_texts, plain_texts), min_size=1, max_size=4).flatmap(
        lambda pairs: st.tuples(st.just(pairs), st.permutations(pairs))
    ),
    st.sampled_from(["~", "%7E"]),
)
def test_order_of_up_to_four_parameters_does_not_matter(
    pairs: tuple[list[tuple[str, str]], list[tuple[str, str]]], tilde: str
) -> None:
    signed, received = pairs
    signature = sign(f"{ROUTE}?{urlencode(signed).replace('~', tilde)}")
    verifier("right").verify(ROUTE, FORM, signature, query=received)


@given(
    st.lists(st.tuples(texts, texts), min_size=1, max_size=3),
    st.sampled_from([quote, quote_plus]),
    st.sampled_from(["", "!'()*", "!$'()*,/:;=?@[]"]),
)
@example([(",", "+")], quote, "!$'()*,/:;=?@[]")
def test_signature_is_valid_for_common_encodings(
    pairs: list[tuple[str, str]], quote_via: Callable[..., str], unencoded: str
) -> None:
    query = urlencode(pairs, quote_via=quote_via, safe=unencoded)
    verifier("right").verify(ROUTE, FORM, sign(f"{ROUTE}?{query}"), query=pairs)


@pytest.mark.parametrize("text", ["acme+corp", "acme%20corp", "%C3%A9", "%c3%a9"])
def test_signature_is_valid_if_api_gateway_passes_encoded_text(text: str) -> None:
    signature = sign(f"{ROUTE}?name={text}")
    verifier("right").verify(ROUTE, FORM, signature, query=[("name", text)])


@given(st.lists(st.tuples(texts, texts)))
def test_at_most_48_query_strings_are_rebuilt(pairs: list[tuple[str, str]]) -> None:
    rebuilt = list(query_strings(pairs))
    assert len(rebuilt) <= 48
    assert all(text.startswith("?") for text in rebuilt if pairs)


@pytest.mark.parametrize(("count", "urls"), [(1, 1), (2, 2), (3, 6), (4, 24), (5, 1)])
def test_every_order_of_at_most_four_parameters_is_tried(count: int, urls: int) -> None:
    pairs = [(f"n{number}", "v") for number in range(count)]
    assert len(set(query_strings(pairs))) == urls


def test_orders_of_four_parameters_are_tried_with_two_encodings_of_spaces() -> None:
    pairs = [(f"n{number}", "a b") for number in range(4)]
    expected = {
        f"?{'&'.join(order)}"
        for space in ("%20", "+")
        for order in permutations(f"{name}=a{space}b" for name, _ in pairs)
    }
    assert set(query_strings(pairs)) == expected
    assert len(list(query_strings([(name, "a b'") for name, _ in pairs]))) == 48


@pytest.mark.parametrize("count", [1, 4])
def test_lone_surrogates_in_a_query_string_are_replaced(count: int) -> None:
    query = [("a", "\ud800")] * count
    assert "?" + "&".join(["a=%3F"] * count) in query_strings(query)
    with pytest.raises(InvalidSignature) as raised:
        verifier("right").verify(ROUTE, FORM, sign(ROUTE, "wrong"), query=query)
    assert raised.value.likely_cause == "query"


@pytest.mark.parametrize(
    ("signed", "requested"),
    [(ROUTE, f"{ROUTE}/"), (f"{ROUTE}/", ROUTE), (f"{ROUTE}//", f"{ROUTE}/")],
)
def test_missing_or_extra_trailing_slash_is_a_likely_cause_but_a_double_slash_is_not(
    signed: str, requested: str
) -> None:
    with pytest.raises(InvalidSignature) as raised:
        verifier("right").verify(requested, FORM, sign(signed))
    expected = "path" if signed != f"{ROUTE}//" else "auth_token"
    assert raised.value.likely_cause == expected


def test_no_query_string_is_rebuilt_from_more_than_200_parameters() -> None:
    assert list(query_strings([("a", "1")] * 200))
    assert not list(query_strings([("a", "1")] * 201))


@pytest.mark.parametrize(
    "signed",
    [
        ROUTE,
        f"{ROUTE}?",
        f"{ROUTE}?tenant=blue",
        f"{ROUTE}?tenant=acme&x=1",
        f"{ROUTE}?tenant%3Dacme",
        f"{ROUTE}/?tenant=acme",
        "https://example.test/dev/assignment_callback?tenant=acme",
        "https://evil.example/prod/assignment_callback?tenant=acme",
        "http://example.test/prod/assignment_callback?tenant=acme",
    ],
)
def test_signature_of_a_different_url_is_invalid(signed: str) -> None:
    with pytest.raises(InvalidSignature):
        verifier("right").verify(ROUTE, FORM, sign(signed), query=[("tenant", "acme")])


OTHER_URL = "https://other.example/prod/assignment_callback"
ACME = (("tenant", "acme"),)


@pytest.mark.parametrize(
    ("signature", "query", "cause"),
    [
        (None, (), "no_header"),
        ("", ACME, "no_header"),
        ("x", (), "malformed_header"),
        ("A" * 44, (), "malformed_header"),
        ("A" * 28, (), "auth_token"),
        (sign(ROUTE, "wrong"), (), "auth_token"),
        (sign(f"{ROUTE}?tenant=acme", "wrong"), ACME, "auth_token"),
        (sign(OTHER_URL, "wrong"), (), "auth_token"),
        (sign(OTHER_URL), (), "base_url"),
        (sign(f"{OTHER_URL}?tenant=acme"), ACME, "base_url"),
        (sign(f"{ROUTE}/"), (), "path"),
        (sign(f"{ROUTE}/?tenant=acme"), ACME, "path"),
        (sign(ROUTE), ACME, "query"),
        (sign(f"{ROUTE}?city=K%c3%b6ln"), (("city", "Köln"),), "query"),
        (sign(f"{ROUTE}?a=1&b=1&c=1&d=1&e=1"), tuple((name, "1") for name in "edcba"), "query"),
        (sign(f"{ROUTE}?"), (), "query"),
        (sign(f"{ROUTE}?a=%41"), (("a", "A"),), "query"),
        (sign(f"{ROUTE}?%61=A"), (("a", "A"),), "query"),
        (sign(f"{ROUTE}?%61=%41&%62=%2D"), (("a", "A"), ("b", "-")), "query"),
        (sign(f"{ROUTE}?a=%7E", "wrong"), (("a", "~"),), "auth_token"),
        (sign(f"{ROUTE}?&a=1"), (("a", "1"),), "query"),
        (sign(f"{ROUTE}?a=1&"), (("a", "1"),), "query"),
        (sign(f"{ROUTE}?&a=1&"), (("a", "1"),), "query"),
        (sign(ROUTE, "wrong"), tuple((name, "1") for name in "abcd"), "auth_token"),
        (sign(ROUTE, "wrong"), tuple((name, "1") for name in "abcde"), "query"),
        (sign(ROUTE, "wrong"), (("a", "1"), ("city", "Köln")), "query"),
        (sign(ROUTE, "wrong"), (("city", "Köln"), ("a", "1")), "query"),
        (sign(ROUTE, "wrong"), (("é", "1"),), "query"),
        (sign(ROUTE, "wrong"), (("a", "1"),) * 201, "query"),
        (sign(f"{ROUTE}?a=%c3%a9"), (("a", "é"),), "query"),
        (sign(f"{ROUTE}?&a=1", "wrong"), (("a", "1"),), "auth_token"),
    ],
)
def test_likely_cause_of_an_invalid_signature_is_found(
    signature: str | None, query: Sequence[tuple[str, str]], cause: str
) -> None:
    with pytest.raises(InvalidSignature) as raised:
        verifier("right").verify(
            ROUTE, FORM, signature, query=query, other_urls=lambda: ["https://[", OTHER_URL]
        )
    assert raised.value.likely_cause == cause


@pytest.mark.parametrize(
    ("settings", "length", "cause"),
    [
        ("key=k1,algorithm=HMAC_SHA256", 28, "malformed_header"),
        ("key=k1,algorithm=HMAC_SHA256", 44, "auth_token"),
        ("key=k2,algorithm=HMAC_SHA256", 44, "unknown_shared_key"),
        ("key=k1,algorithm=HMAC_SHA1", 44, "unknown_shared_key"),
        ("nonsense", 44, "unknown_shared_key"),
    ],
)
def test_likely_cause_of_an_invalid_shared_key_signature_is_found(
    settings: str, length: int, cause: str
) -> None:
    with pytest.raises(InvalidSignature) as raised:
        verifier("right", k1="secret").verify(ROUTE, FORM, "A" * length, settings)
    assert raised.value.likely_cause == cause


def test_every_likely_cause_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
    table = text.partition("| `likely_cause` |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(LikelyCause)
