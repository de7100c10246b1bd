"""AES-CCM as adverts use it: 128-bit keys, a tag of 4 bytes."""

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM

TAG = 4  # bytes; bthome.io/encryption, and MiBeacon 4 and 5


@lru_cache(maxsize=1024)  # as many keys; making a cipher takes longer than using it
def _cipher(key: bytes) -> "AESCCM":
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM  # noqa: PLC0415 -- profiles are checked without it

    return AESCCM(key, tag_length=TAG)


def decrypt(key: bytes, nonce: bytes, sealed: bytes, extra: bytes | None) -> bytes | None:
    """The plain text of `sealed` (cipher text, then tag); None if the tag does not fit.

    `key` has 16 bytes, `nonce` 7 to 13, `sealed` at least the tag.
    """
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 -- as above

    try:
        return _cipher(key).decrypt(nonce, sealed, extra)
    except InvalidTag:
        return None


def encrypt(key: bytes, nonce: bytes, plain: bytes, extra: bytes | None) -> bytes:
    """The opposite of `decrypt`."""
    return _cipher(key).encrypt(nonce, plain, extra)
