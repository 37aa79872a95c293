"""JSON or plain text: what the caller's Accept header prefers, ours where it does not say (contract 4). Pure."""

from __future__ import annotations

from functools import lru_cache

ACCEPT_MAX = 500  # characters that are read

_FORMS = {"json": ("application/json", "application/*", "*/*"), "text": ("text/plain", "text/*", "*/*")}


def wants_text(accept: str, *, usual: str = "json") -> bool:
    """Whether the answer is plain text. `usual` (json or text) decides when the header prefers neither.

    The larger q wins, then the name before a wildcard: `text/plain, */*` asks for text.
    """
    wanted = _preferred(accept[:ACCEPT_MAX])
    return (wanted or usual) == "text"


@lru_cache(maxsize=256)
def _preferred(accept: str) -> str:
    offers = dict(map(_offer, accept.lower().split(",")))
    ranks = {form: _rank(ranges, offers) for form, ranges in _FORMS.items()}
    if ranks["json"] == ranks["text"]:
        return ""
    return "text" if ranks["text"] > ranks["json"] else "json"


def _rank(ranges: tuple[str, ...], offers: dict[str, float]) -> tuple[float, int]:
    """The q that the header gives to the most exact range of a form that it names, and how exact that is."""
    for place, name in enumerate(ranges):
        if name in offers:
            return offers[name], -place if offers[name] else 0
    return 0.0, 0


def _offer(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip() for piece in part.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return name, min(max(float(value), 0.0), 1.0)
            except ValueError:
                return name, 0.0
    return name, 1.0
