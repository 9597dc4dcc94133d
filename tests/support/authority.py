"""An authority for tests of TLS, with certificates that are good right now."""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM
PLAIN = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass
class Authority:
    """Signs certificates."""

    name: str = "an authority"
    _key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    @cached_property
    def ca(self) -> str:
        """Its own certificate, as PEM."""
        return self._certificate(self.name, self._key.public_key(), ca=True, ago=1)

    def sign(self, *names: str, expired: bool = False) -> tuple[str, str]:
        """Give certificate and key as PEM; the first name is its subject."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(
            names[0], key.public_key(), names=names, ago=3, days=1 if expired else 30
        )
        return certificate, key.private_bytes(PEM, *PLAIN).decode()

    def server(self, *names: str, wants: Authority | None = None) -> ssl.SSLContext:
        """Give what a server of these names needs; ``wants``: clients show its certificates."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("".join(self.sign(*(names or ("127.0.0.1",)))))
            file.flush()
            context.load_cert_chain(file.name)
        if wants is not None:
            context.load_verify_locations(cadata=wants.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _certificate(
        self,
        subject: str,
        key: ec.EllipticCurvePublicKey,
        *,
        names: tuple[str, ...] = (),
        ca: bool = False,
        ago: int = 1,
        days: int = 30,
    ) -> str:
        begin = datetime.now(UTC) - timedelta(days=ago)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name(self.name))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_alternative(each) for each in names]), False
            )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(PEM).decode()


# Whose certificates the servers have that tests share.
AUTHORITY = Authority()


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
