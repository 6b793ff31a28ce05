"""What HTML must pass before a tree is built of it: lexbor has no limit on depth or size.

Deep nesting costs time by its square, unclosed formatting is copied into every following paragraph, and each
tag and attribute takes some hundred bytes. All three are estimated from the markup, upwards.
"""

import re

from ingest.errors import DocumentTooLarge, HostileDocument
from ingest.parsing.limits import Limits

# Measured with lexbor 2: bytes of tree per tag, per attribute and per character.
_BYTES_PER_TAG = 190
_BYTES_PER_ATTRIBUTE = 300
_BYTES_PER_CHARACTER = 3
_WORTH_THINNING_CHARACTERS = 1 << 20
_UNCLOSED_ALLOWANCE = 10  # sloppy pages leave tags open by the hundred, which nests them
_MOST_FORMATTING_COPIES = 20_000_000

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_ENDS_BY_ITSELF = frozenset(
    "area base br col embed hr img input link meta param source track wbr p li dd dt td th tr thead tbody tfoot option "
    "optgroup rp rt colgroup html head body".split()
)
_FORMATTING = frozenset("a b big code em font i nobr s small strike strong tt u".split())
_BALLAST = re.compile(r"<(script|style|svg)\b|<!--", re.IGNORECASE)
_BALLAST_ENDS = {name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in ("script", "style", "svg")} | {
    "": re.compile("-->")
}
_EMBEDDED_DATA = re.compile(r"(data:[\w.+-]{1,40}/[\w.+-]{1,80};base64,)[A-Za-z0-9+/=\s]{200,}+")


def guarded_markup(markup: str, limits: Limits) -> str:
    """The markup, large pages without their ballast; raises if a tree of it would be too large or too deep."""
    if len(markup) > _WORTH_THINNING_CHARACTERS:
        markup = _thinned(markup)
    tree_bytes = (
        markup.count("<") * _BYTES_PER_TAG
        + markup.count("=") * _BYTES_PER_ATTRIBUTE
        + len(markup) * _BYTES_PER_CHARACTER
    )
    if tree_bytes > limits.memory_bytes // 2:
        raise DocumentTooLarge(
            f"The page has {len(markup):,} characters of HTML, more than can be read at once. Split it up."
        )
    _refuse_deep(markup, limits)
    return markup


def _thinned(markup: str) -> str:
    """Without scripts, styles, comments and embedded pictures, which are most of a large page."""
    kept = []
    done = at = 0
    while found := _BALLAST.search(markup, at):
        end = _BALLAST_ENDS[(found.group(1) or "").lower()].search(markup, found.end())
        if not end:
            break
        kept.append(markup[done : found.start()])
        done = at = end.end()
    thinned = "".join([*kept, markup[done:]])
    return _EMBEDDED_DATA.sub(r"\1", thinned) if "base64," in thinned else thinned


def _refuse_deep(markup: str, limits: Limits) -> None:
    most = limits.nesting * _UNCLOSED_ALLOWANCE
    if markup.count("<") <= most:
        return
    depth = formatting = most_formatting = 0
    for closing, tag in _TAG.findall(markup):
        name = tag.lower()
        if name in _ENDS_BY_ITSELF:
            continue
        step = -1 if closing else 1
        depth = max(0, depth + step)
        if name in _FORMATTING:
            formatting = max(0, formatting + step)
            most_formatting = max(most_formatting, formatting)
        if depth > most:
            raise HostileDocument(f"The page nests its elements more than {most:,} levels deep, which no page needs.")
    if most_formatting * markup.count("<") > _MOST_FORMATTING_COPIES and most_formatting > limits.nesting:
        raise HostileDocument(
            f"The page leaves {most_formatting:,} formatting elements open, each copied into all that follows."
        )
