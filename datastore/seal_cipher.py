"""Sealed files enciphered: AES-256-GCM under a key that is given to whoever opens the store, and kept nowhere in it.

A file is ``FSE1``, twelve random bytes, and what the cipher made of an Arrow file; where it lies is authenticated, so
that none can stand in for another. The method is that of NIST SP 800-38D.
"""

import os
import secrets
from pathlib import Path
from typing import Any, Final

from foldstore.errors import NotFoundError, RefusedError, StoreError, UsageError

MAGIC: Final = b"FSE1"
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32


def make_key_file(path: Path) -> None:
    """Write a new random key into a file for its owner alone.

    Raises
    ------
    StoreError
        When the file is there already, or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise StoreError(
            f"No key can be written into {path}: {error.strerror}.",
            hint="A key that is there stays what it is: without it, what was sealed under it is lost.",
        ) from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(_KEY_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_key_file(path: Path) -> bytes:
    """Return the key in a file.

    Raises
    ------
    NotFoundError
        When there is no such file.
    UsageError
        When it holds no key, or others may read it.
    """
    try:
        readable = path.stat().st_mode & 0o077
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise NotFoundError(f"There is no key file {path}.", hint="Make one: foldstore pool key FILE.") from None
    except (OSError, UnicodeDecodeError):
        text, readable = "", 0
    if readable:
        raise UsageError(f"Others may read the key file {path}.", hint=f"chmod 600 {path}", code="seal-key-exposed")
    if len(text) != 2 * _KEY_BYTES or any(letter not in "0123456789abcdef" for letter in text):
        raise UsageError(f"{path} holds no key.", hint="Make one: foldstore pool key FILE.", code="seal-key-wrong")
    return bytes.fromhex(text)


def encipher(key: bytes, content: bytes, place: str) -> bytes:
    """Return what is written in place of some bytes."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    made: bytes = _cipher(key).encrypt(nonce, content, place.encode())
    return MAGIC + nonce + made


def decipher(key: bytes | None, written: bytes, place: str) -> bytes:
    """Return the bytes that were enciphered.

    Raises
    ------
    RefusedError
        When there is no key (code ``seal-key-missing``), or another one (``seal-key-wrong``).
    """
    if key is None:
        raise RefusedError(
            "What was sealed is enciphered, and this process was not given the key.",
            hint="Open the store with seal_key=, or set FOLDSTORE_SEAL_KEY_FILE.",
            code="seal-key-missing",
        )
    from cryptography.exceptions import InvalidTag

    start = len(MAGIC) + _NONCE_BYTES
    try:
        content: bytes = _cipher(key).decrypt(written[len(MAGIC) : start], written[start:], place.encode())
    except InvalidTag:
        raise RefusedError(
            "What was sealed is enciphered under another key.", hint="Give the key of then.", code="seal-key-wrong"
        ) from None
    return content


def _cipher(key: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise UsageError(
            "Sealed labels are enciphered by the package cryptography, which is not installed.",
            hint="pip install 'foldstore[encryption]'",
            code="missing-extra",
        ) from None
    return AESGCM(key)
