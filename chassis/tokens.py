"""Secret links. Their owner derives a token whenever it is needed, so that nobody has to store or send one."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from uuid import UUID


def derive(key: str, kind: str, subject: UUID, generation: int) -> str:
    """The 256-bit token of a link, in 43 URL-safe characters: HMAC-SHA256(key, kind, subject, generation).

    Another generation is another token: that is how a link is replaced. The kind keeps tokens of different purposes
    apart even when their subjects are the same.
    """
    message = f"{kind}\x00{subject}\x00{generation}".encode()
    return urlsafe_b64encode(hmac.digest(key.encode(), message, "sha256")).rstrip(b"=").decode()


def digest(token: str) -> str:
    """What is stored of a token: its SHA-256, in hex. A token has 256 bits of entropy, so a plain hash cannot be guessed."""
    return hashlib.sha256(token.encode()).hexdigest()
