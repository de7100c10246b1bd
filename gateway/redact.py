"""Secrets of the configuration do not come out again, not even where somebody else repeats them.

A server may put our token into its error message, a library our password into an exception. What goes
into the log or becomes the reason of a state passes here. The main protection is that secrets are
`SecretStr` and are never put into a text by us.
"""

import base64

SHORTEST = 6  # characters: a shorter one would blank out words that are none
_forms: dict[str, None] = {}  # as they are, and in base64; the longest first


def remember(secret: str) -> None:
    """It is one of the secrets of this process from now on."""
    if len(secret) < SHORTEST:
        return
    coded = base64.b64encode(secret.encode()).decode().rstrip("=")
    if secret in _forms:
        return
    forms = sorted((*_forms, secret, coded), key=len, reverse=True)
    _forms.clear()
    _forms.update(dict.fromkeys(forms))


def redact(text: str) -> str:
    """`text` with `***` in the place of every secret."""
    for form in _forms:
        if form in text:
            text = text.replace(form, "***")
    return text
