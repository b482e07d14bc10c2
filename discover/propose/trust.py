"""Whom to believe over https: the system's authorities, SSL_CERT_FILE, and what git was told (``http.sslCAInfo``)."""

from __future__ import annotations

import re
import ssl

__all__ = ["HINT", "is_certificate", "tls_context"]

HINT = "if it is yours: SSL_CERT_FILE=ca.pem, or git config --global http.sslCAInfo ca.pem, names whom to trust"


def is_certificate(said: str) -> bool:
    """Whether an error is about the server's certificate, in the words of OpenSSL and urllib3."""
    return re.search(r"CERTIFICATE_VERIFY_FAILED|certificate", said, re.IGNORECASE) is not None


def tls_context() -> ssl.SSLContext:
    """For the forge's API what git uses for the repository. Always verifies: a token goes there."""
    from dulwich.config import StackedConfig  # noqa: PLC0415 - heavy

    context = ssl.create_default_context()  # which reads SSL_CERT_FILE
    try:
        file = StackedConfig.default().get((b"http",), b"sslCAInfo")
    except KeyError:
        return context
    context.load_verify_locations(file.decode())
    return context
