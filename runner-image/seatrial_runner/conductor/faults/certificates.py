"""Certificates that have expired. Pure; imports ``cryptography``, which only this needs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519

_END = "-----END CERTIFICATE-----"
_EXPIRED_SINCE = timedelta(days=1)
_LIFE = timedelta(days=90)


class CertificateError(Exception):
    """There is no expired copy to be had; the message says why."""


def expired_copy(texts: Mapping[str, str], key: str, *, now: datetime) -> str:
    """
    Make the PEM text of a certificate again, with the validity over since yesterday.

    Subject, names, public key and extensions stay. It is signed by the same authority if its key is
    among the texts, else by its own key; what follows it in the text (the chain) stays.

    Args:
        texts: Values of the object by key: the certificate, its private key, perhaps that of the
            authority.
        key: Key of the certificate, such as ``tls.crt``.
        now: The present moment.

    Raises:
        CertificateError: There is no certificate, or no private key to sign with.
    """
    text = texts.get(key)
    if text is None:
        raise CertificateError(
            f"there is no key {key}; it has {', '.join(sorted(texts)) or 'none'}"
        )
    try:
        old = x509.load_pem_x509_certificate(text.encode())
    except ValueError as error:
        raise CertificateError(f"{key} is no PEM certificate: {error}") from None
    keys = {name: loaded for name, value in texts.items() if (loaded := _private_key(value))}
    issuer, signer = _signer(old, texts, keys)
    end = now - _EXPIRED_SINCE
    begin = min(old.not_valid_before_utc, end - _LIFE)
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(issuer)
        .public_key(old.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    new = builder.sign(signer, None if isinstance(signer, _WITHOUT_HASH) else hashes.SHA256())
    chain = text.split(_END, 1)[1].lstrip("\r\n")
    pem: bytes = new.public_bytes(serialization.Encoding.PEM)
    return pem.decode() + chain


_WITHOUT_HASH = (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)


def _private_key(text: str) -> Any:
    if "PRIVATE KEY" not in text:
        return None
    try:
        return serialization.load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None  # encrypted, or nothing that could sign


def _signer(
    old: x509.Certificate, texts: Mapping[str, str], keys: Mapping[str, Any]
) -> tuple[x509.Name, Any]:
    """Give issuer and key: of the authority that signed the certificate, or else its own."""
    for text in texts.values():
        if _END not in text:
            continue
        for authority in _certificates(text):
            if authority.subject != old.issuer:
                continue
            for key in keys.values():
                if _public(key) == _public_of(authority) and _has_signed(authority, old):
                    return old.issuer, key
    for key in keys.values():
        if _public(key) == _public_of(old):
            return old.subject, key
    raise CertificateError(
        "it has neither the private key of the certificate nor that of its authority: an expired"
        " certificate cannot be signed"
    )


def _certificates(text: str) -> list[x509.Certificate]:
    try:
        found: list[x509.Certificate] = x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        return []
    return found


def _has_signed(authority: x509.Certificate, old: x509.Certificate) -> bool:
    try:
        old.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _public(key: Any) -> bytes:
    return _der(key.public_key())


def _public_of(certificate: x509.Certificate) -> bytes:
    return _der(certificate.public_key())


def _der(public: Any) -> bytes:
    encoded: bytes = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded
