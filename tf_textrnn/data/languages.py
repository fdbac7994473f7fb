"""Makes the built-in data set: which language is this name in?

A text is the name of a territory, language, script, currency or time zone in one of forty
languages, from the Unicode CLDR, which Babel carries; its label is the locale. Names that several
of the locales share are left out.
"""

import hashlib
from collections.abc import Iterator

import babel

from tf_textrnn.data.sources import Example, Source

_CODES = (
    "en de nl sv da nb fi et lv lt pl cs sk sl hr hu ro it es pt fr ca gl eu tr id ms vi ru uk "
    "bg el he ar fa hi bn ja ko zh"
)
LOCALES = tuple(_CODES.split())
_TRAIN_SHARE, _VALID_SHARE = 80, 10  # percent; the rest is the test split


def splits() -> dict[str, Source]:
    """Returns the sources `train`, `valid` and `test`: about 80, 10 and 10 % of the concepts."""

    def source(split: str) -> Source:
        return Source(
            f"languages ({split})",
            f"languages {split} babel {babel.__version__}",
            lambda: (example for concept, example in names() if split_of(concept) == split),
        )

    return {split: source(split) for split in ("train", "valid", "test")}


def split_of(concept: str) -> str:
    """Returns the split of a CLDR key; all names of one concept are in the same split."""
    percent = int.from_bytes(hashlib.sha256(concept.encode()).digest()[:8], "big") % 100
    if percent < _TRAIN_SHARE:
        return "train"
    return "valid" if percent < _TRAIN_SHARE + _VALID_SHARE else "test"


def names() -> Iterator[tuple[str, Example]]:
    """Yields (CLDR key, example) for each name that only one of the locales has, sorted by name."""
    found: dict[str, set[tuple[str, str]]] = {}
    for code in LOCALES:
        for concept, name in _locale_names(babel.Locale.parse(code)):
            found.setdefault(name, set()).add((code, concept))
    for name, uses in sorted(found.items()):
        if len({code for code, _ in uses}) == 1:
            code, concept = min(uses)
            yield concept, Example(code, name)


def _locale_names(locale: babel.Locale) -> Iterator[tuple[str, str]]:
    for kind in ("territories", "languages", "scripts", "currencies"):
        for key, name in getattr(locale, kind).items():
            yield f"{kind}/{key}", str(name)
    for kind in ("time_zones", "meta_zones"):
        for key, zone in getattr(locale, kind).items():
            lengths = (zone.get("long", {}), zone.get("short", {}))
            for name in [zone.get("city"), *(n for names in lengths for n in names.values())]:
                if name:
                    yield f"{kind}/{key}", str(name)
