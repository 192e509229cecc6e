"""Who made a file: keyed checksums (HMAC-SHA256) with a random key of this user's own.

Anyone who can read the key can sign in this user's name; it never enters a run folder. Files that
are nothing but data need no signature, see docs/security.md.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
from pathlib import Path

from rltune.errors import MachineError

log = logging.getLogger("rltune")

#: An environment variable that holds the key and takes the place of the key's file: for the workers
#: of a cluster whose machines do not share a home folder.
VARIABLE = "RLTUNE_KEY"

_KEY = re.compile(r"[0-9a-f]{64}")


def key_file() -> Path:
    """Where the key is kept: ``~/.config/rltune/key``, or below ``$XDG_CONFIG_HOME``.

    Raises:
        RuntimeError: there is no home folder.
    """
    config = Path(os.environ.get("XDG_CONFIG_HOME", ""))  # relative paths are to be ignored
    return (config if config.is_absolute() else Path.home() / ".config") / "rltune" / "key"


def sign(purpose: str, content: bytes) -> str:
    """The signature of a content.

    Args:
        purpose: what it is signed as; it is no signature of anything else.
    """
    return _mac(_key() or _new_key(), purpose, content)


def is_signed(purpose: str, content: bytes, signature: object) -> bool:
    """Whether this user made a signature of a content."""
    key = _key()
    if key is None or not isinstance(signature, str) or not signature.isascii():
        return False
    return hmac.compare_digest(_mac(key, purpose, content), signature)


def sign_file(path: Path) -> None:
    """Writes a file's signature beside it."""
    _beside(path).write_text(sign(path.name, path.read_bytes()))


def is_signed_file(path: Path) -> bool:
    """Whether this user signed a file, and it has not changed since. Where it lies is no matter."""
    try:
        return is_signed(path.name, path.read_bytes(), _beside(path).read_text())
    except (OSError, ValueError):
        return False


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.signature")


def _mac(key: str, purpose: str, content: bytes) -> str:
    return hmac.new(
        bytes.fromhex(key), purpose.encode() + b"\0" + content, hashlib.sha256
    ).hexdigest()


def _key() -> str | None:
    """The key; None where none was made yet."""
    if VARIABLE in os.environ:
        return _checked(os.environ[VARIABLE], f"the environment variable {VARIABLE}")
    try:
        path = key_file()
        return _checked(path.read_text(errors="replace"), str(path))
    except (OSError, RuntimeError):
        return None


def _checked(text: str, place: str) -> str:
    if not _KEY.fullmatch(key := text.strip()):
        raise MachineError(
            f"{place} is no key of rltune: 64 hexadecimal digits. Remove it, and another is made; "
            "what was signed with it will ask for `trust=True`."
        )
    return key


def _new_key() -> str:
    """Makes the key, once for all processes that may ask for it at the same time."""
    key = secrets.token_hex(32)
    try:
        path = key_file()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = path.with_name(f".key.{os.getpid()}.{key[:8]}")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(key + "\n")
        try:
            os.link(part, path)  # unless another process was quicker
        except FileExistsError:
            pass
        finally:
            part.unlink()
        return _checked(path.read_text(errors="replace"), str(path))
    except (OSError, RuntimeError) as error:
        os.environ[VARIABLE] = key  # for this process and its workers
        log.warning(
            "no key can be kept (%s): runs made now will not be known as yours later. Set "
            "XDG_CONFIG_HOME to a folder that can be written to.",
            error,
        )
        return key
