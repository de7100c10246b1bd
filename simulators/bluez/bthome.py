"""BTHome v2 frames as a sensor makes them: https://bthome.io/format and https://bthome.io/encryption."""

from cryptography.hazmat.primitives.ciphers.aead import AESCCM

UUID = "fcd2"
MIC_BYTES = 4
_ENCRYPTED, _TRIGGERED, _VERSION_2 = 0x01, 0x04, 2 << 5


def plain(objects: bytes, *, triggered: bool = False) -> bytes:
    """Service data that everybody can read, and make."""
    return bytes([_VERSION_2 | triggered * _TRIGGERED]) + objects


def encrypted(
    address: str, key: bytes, counter: int, objects: bytes, *, triggered: bool = False
) -> bytes:
    """Service data under a bind key of 16 bytes. `counter`: 0 to 2**32 - 1, never used twice."""
    info = bytes([_VERSION_2 | triggered * _TRIGGERED | _ENCRYPTED])
    number = counter.to_bytes(4, "little")
    nonce = bytes.fromhex(address.replace(":", "")) + b"\xd2\xfc" + info + number
    sealed = AESCCM(key, tag_length=MIC_BYTES).encrypt(nonce, objects, None)
    return info + sealed[:-MIC_BYTES] + number + sealed[-MIC_BYTES:]
