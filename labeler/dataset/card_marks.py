"""Whose words a data set's card holds: a line in README.md, unseen where it is read, has the digest of all others.

A card that plgp wrote is written anew by every push; one of a former plgp, which left no mark, is known by its words.
One that somebody wrote or edited is kept; a copy of it follows it, until somebody edits the copy.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from pathlib import Path
from typing import Literal

from labeler.dataset.card_text import is_template
from sim.errors import InputError
from sim.files import atomic_path

CARD = "README.md"
_MARK = re.compile(rb"<!-- plgp (wrote|sent) this card, sha256 ([0-9a-f]{64})[^\n]*-->")


def marked(card: bytes, word: Literal["wrote", "sent"]) -> bytes:
    """Returns a card whose last line says that plgp wrote it, or that it was sent as it is."""
    text = unmarked(card)
    line = f"<!-- plgp {word} this card, sha256 {_digest(text)}; once it is edited, it is kept -->"
    return text.rstrip() + b"\n\n" + line.encode() + b"\n"


def unmarked(card: bytes) -> bytes:
    """Returns a card without such a line."""
    return _MARK.sub(b"", card).rstrip() + b"\n"


def find_mark(card: bytes) -> str:
    """Returns "wrote" or "sent" for a card that is as plgp wrote or sent it, "" for any other one."""
    marks = _MARK.findall(card)
    return str(marks[-1][0].decode()) if marks and marks[-1][1].decode() == _digest(unmarked(card)) else ""


def same_words(card: bytes, other: bytes) -> bool:
    """Tells whether two cards say the same, whatever their marks and ends of lines."""
    return _digest(unmarked(card)) == _digest(unmarked(other))


def is_ours(card: bytes) -> bool:
    """Tells whether plgp wrote all of a card: by its mark, or by its words where it left none, as a former plgp."""
    word = find_mark(card)
    edited = not word and _MARK.search(card) is not None
    return word == "wrote" or (not edited and is_template(unmarked(card).decode(errors="replace")))


def is_edited(card: bytes, other: bytes) -> bool:
    """Tells whether a card would be lost if another one replaced it: somebody edited it, and it says something else."""
    return not (find_mark(card) or is_ours(card) or same_words(card, other))


def check_licence(card: bytes, place: str | Path, licence: str | None) -> None:
    """Raises InputError where a licence is asked for that a card, which is kept as it is, does not name.

    Args:
        card: The card.
        place: Where it is, for the message.
        licence: Short name of the licence; None if none is asked for.
    """
    found = re.search(r"(?m)^license: *(\S+)", card.decode(errors="replace"))
    if licence is not None and (found is None or found[1].strip("\"'") != licence):
        says = f"names the licence '{found[1]}'" if found else "names no licence in its head (`license: NAME`)"
        raise InputError(
            f"{told_kept(place)}, and {says}, not '{licence}'; write it there, or delete the card for a new one"
        )


def copy_card(source: Path, target: Path) -> None:
    """Copies a card, unless somebody has edited the one that is there: then a warning says that it is kept."""
    card = source.read_bytes()
    if target.is_file() and is_edited(target.read_bytes(), card):
        warnings.warn(f"{told_kept(target)}; delete it, and the same command brings the other one", stacklevel=2)
        return
    with atomic_path(target) as temporary:
        temporary.write_bytes(card if find_mark(card) else marked(card, "sent"))


def told_kept(place: str | Path) -> str:
    """Returns what is said of a card that somebody wrote or edited."""
    return f"{place} was written or edited by hand, so it is kept as it is"


def _digest(text: bytes) -> str:
    return hashlib.sha256(text.replace(b"\r\n", b"\n").strip()).hexdigest()
