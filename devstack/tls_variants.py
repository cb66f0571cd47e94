"""The server contexts that a client must refuse, each wrong in exactly one property, and the good ones.

Rule: a variant differs from `good` in one thing, so that a client which refuses it refuses it for that
thing. `VARIANTS` is the whole list; the hostile corpus names its entries.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import ssl
import warnings
from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from devstack.tls_pki import Authority

CBC_CIPHERS = "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA"
STATIC_RSA_CIPHERS = "AES128-GCM-SHA256:AES256-GCM-SHA384"  # RSA key exchange: no forward secrecy


def _good(authority: Authority, host: str) -> ssl.SSLContext:
    return authority.issue(host).context()


def _expired(authority: Authority, host: str) -> ssl.SSLContext:
    before, after = authority.now - dt.timedelta(days=8), authority.now - dt.timedelta(seconds=60)
    profile = dataclasses.replace(authority.profile(host), not_before=before, not_after=after)
    return authority.sign(profile).context()


def _not_yet_valid(authority: Authority, host: str) -> ssl.SSLContext:
    tomorrow = authority.now + dt.timedelta(days=1)
    profile = dataclasses.replace(authority.profile(host), not_before=tomorrow)
    return authority.sign(profile).context()


def _wrong_name(authority: Authority, host: str) -> ssl.SSLContext:
    return authority.issue(f"not-{host}").context()


def _common_name_only(authority: Authority, host: str) -> ssl.SSLContext:
    return authority.sign(dataclasses.replace(authority.profile(host), dns=())).context()


def _wildcard(authority: Authority, host: str) -> ssl.SSLContext:
    return authority.issue(f"*.{host.partition('.')[2]}").context()


def _wildcard_too_wide(authority: Authority, host: str) -> ssl.SSLContext:
    """Matches one label (RFC 9525 section 6.3): `*.test` is no name for `api.hostile.test`."""
    return authority.issue(f"*.{host.rpartition('.')[2]}").context()


def _self_signed(authority: Authority, host: str) -> ssl.SSLContext:
    return authority.self_signed(authority.profile(host)).context()


def _other_ca(authority: Authority, host: str) -> ssl.SSLContext:
    """The other CA carries the same name, so that only the signature can tell them apart."""
    return Authority(now=authority.now).issue(host).context()


def _ca_as_leaf(authority: Authority, host: str) -> ssl.SSLContext:
    profile = dataclasses.replace(authority.profile(host), ca=True, key_cert_sign_only=True)
    return authority.sign(profile).context()


def _leaf_as_ca(authority: Authority, host: str) -> ssl.SSLContext:
    issuer = authority.profile(f"not-{host}")
    return authority.sign_below(issuer, authority.profile(host)).context()


def _client_certificate(authority: Authority, host: str) -> ssl.SSLContext:
    usage = ExtendedKeyUsageOID.CLIENT_AUTH
    return authority.sign(dataclasses.replace(authority.profile(host), usage=usage)).context()


def _tls_1_1(authority: Authority, host: str) -> ssl.SSLContext:
    context = _good(authority, host)
    context.set_ciphers("ALL:@SECLEVEL=0")  # OpenSSL 3 signs a TLS 1.1 handshake (SHA-1) at level 0 only
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # offering what is deprecated is the point
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def _cbc_only(authority: Authority, host: str) -> ssl.SSLContext:
    context = _good(authority, host)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CBC_CIPHERS)
    return context


def _static_rsa_only(authority: Authority, host: str) -> ssl.SSLContext:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    context = authority.sign(authority.profile(host), key=key).context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(STATIC_RSA_CIPHERS)
    return context


VARIANTS: Mapping[str, Callable[[Authority, str], ssl.SSLContext]] = {
    "good": _good,
    "expired": _expired,
    "not-yet-valid": _not_yet_valid,
    "wrong-name": _wrong_name,
    "cn-only": _common_name_only,
    "wildcard": _wildcard,
    "wildcard-too-wide": _wildcard_too_wide,
    "self-signed": _self_signed,
    "other-ca": _other_ca,
    "ca-as-leaf": _ca_as_leaf,
    "leaf-as-ca": _leaf_as_ca,
    "client-certificate": _client_certificate,
    "tls-1.1": _tls_1_1,
    "cbc-only": _cbc_only,
    "static-rsa-only": _static_rsa_only,
}


def server_context(authority: Authority, host: str, *, variant: str = "good") -> ssl.SSLContext:
    """Returns the server context of one variant.

    Raises: KeyError for a variant that `VARIANTS` does not name.
    """
    return VARIANTS[variant](authority, host)
