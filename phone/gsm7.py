"""The characters of GSM 7-bit (3GPP TS 23.038): the default alphabet and its extension table."""

from __future__ import annotations

BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ"
    " !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = "\f^{}\\[~]|€"

# Septets per character. ESC itself is no character: it only introduces the extension table.
SEPTETS: dict[str, int] = {**dict.fromkeys(BASIC, 1), **dict.fromkeys(EXTENSION, 2)}
