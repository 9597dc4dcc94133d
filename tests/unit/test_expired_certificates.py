"""An expired copy of a certificate differs from it in nothing but its validity."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography import x509
from seatrial_runner.conductor.faults.certificates import CertificateError, expired_copy

from tests.support.certificates import a_certificate

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def load(text: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(text.encode())


def test_without_its_authority_it_signs_itself() -> None:
    certificate, key = a_certificate("orders", signed_by=a_certificate("authority"))
    new = load(expired_copy({"tls.crt": certificate, "tls.key": key}, "tls.crt", now=NOW))
    old = load(certificate)
    assert new.not_valid_after_utc == datetime(2026, 11, 19, 12, tzinfo=UTC)
    assert new.not_valid_before_utc < new.not_valid_after_utc
    assert (new.subject, new.public_key()) == (old.subject, old.public_key())
    assert list(new.extensions) == list(old.extensions)
    new.verify_directly_issued_by(new)


def test_with_the_key_of_its_authority_only_its_age_is_wrong() -> None:
    authority = a_certificate("authority")
    certificate, key = a_certificate("orders", signed_by=authority)
    texts = {"tls.crt": certificate, "tls.key": key, "ca.crt": authority[0], "ca.key": authority[1]}
    new = load(expired_copy(texts, "tls.crt", now=NOW))
    new.verify_directly_issued_by(load(authority[0]))
    assert new.not_valid_after_utc < NOW


def test_the_chain_behind_it_stays() -> None:
    authority = a_certificate("authority")
    certificate, key = a_certificate("orders", signed_by=authority)
    texts = {"tls.crt": certificate + authority[0], "tls.key": key}
    new = expired_copy(texts, "tls.crt", now=NOW)
    first, second = x509.load_pem_x509_certificates(new.encode())
    assert first.not_valid_after_utc < NOW
    assert second == load(authority[0])


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"other": "x"}, "there is no key tls.crt; it has other"),
        ({"tls.crt": "x"}, "is no PEM certificate"),
        ({"tls.crt": a_certificate("a")[0]}, "neither the private key of the certificate nor"),
        (
            {"tls.crt": a_certificate("a")[0], "tls.key": a_certificate("b")[1]},
            "neither the private key of the certificate nor",
        ),
    ],
)
def test_what_is_missing_is_told(texts: dict[str, str], words: str) -> None:
    with pytest.raises(CertificateError, match=words):
        expired_copy(texts, "tls.crt", now=NOW)
