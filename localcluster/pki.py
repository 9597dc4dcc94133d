"""Keys, certificates and kubeconfigs of one cluster, made with openssl."""

import base64
import json
from pathlib import Path

from localcluster.builds import run
from localcluster.processes import write_whole

SERVER_NAMES = "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:localhost"
SERVER_NAMES += ",DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1"


class Pki:
    """
    A certificate authority and what it signed.

    Args:
        folder: Where the files are; made when missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def authority(self) -> None:
        """Make the authority, and the key that signs service-account tokens."""
        self._openssl(
            "req", "-x509", *self._new_key("ca"), "-days", "3650",
            "-subj", "/CN=seatrial-localcluster",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature",
            "-out", self.path("ca.crt"),
        )  # fmt: skip
        self._openssl(
            "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.path("sa.key")
        )
        self._openssl("ec", "-in", self.path("sa.key"), "-pubout", "-out", self.path("sa.pub"))

    def certificate(self, name: str, subject: str, *, server_names: str = "") -> None:
        """Sign a certificate for a client and, with server names, for a server too."""
        uses = "clientAuth,serverAuth" if server_names else "clientAuth"
        extensions = f"extendedKeyUsage={uses}\n"
        if server_names:
            extensions += f"subjectAltName={server_names}\n"
        (self.folder / f"{name}.ext").write_text(extensions)
        self._openssl(
            "req", *self._new_key(name), "-subj", subject, "-out", self.path(f"{name}.csr")
        )
        self._openssl(
            "x509", "-req", "-in", self.path(f"{name}.csr"), "-days", "3650",
            "-CA", self.path("ca.crt"), "-CAkey", self.path("ca.key"), "-CAcreateserial",
            "-extfile", self.path(f"{name}.ext"), "-out", self.path(f"{name}.crt"),
        )  # fmt: skip

    def path(self, name: str) -> str:
        """The path of one of the files."""
        return str(self.folder / name)

    def kubeconfig(self, target: Path, name: str, server: str, context: str = "seatrial") -> None:
        """Write a kubeconfig that carries its certificates inside."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": context,
            "clusters": [
                {
                    "name": context,
                    "cluster": {
                        "server": server,
                        "certificate-authority-data": self._encoded("ca.crt"),
                    },
                }
            ],
            "users": [
                {
                    "name": context,
                    "user": {
                        "client-certificate-data": self._encoded(f"{name}.crt"),
                        "client-key-data": self._encoded(f"{name}.key"),
                    },
                }
            ],
            "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        }
        write_whole(target, json.dumps(config, indent=1))

    def _encoded(self, name: str) -> str:
        return base64.b64encode((self.folder / name).read_bytes()).decode()

    def _new_key(self, name: str) -> list[str]:
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        return [*curve, "-keyout", self.path(f"{name}.key")]

    def _openssl(self, *arguments: str) -> None:
        run(["openssl", *arguments], "Making certificates")
