"""What texts in scripts without spaces between words ask for."""

import itertools
import re
from collections.abc import Iterable

from tf_textrnn.data.sources import Source

_SAMPLE_TEXTS, _SAMPLE_CHARACTERS = 1_000, 1_000  # the first of a source, and of each of these
_LETTERS = re.compile(r"[^\W\d_]+")
_UNSPACED = re.compile(
    # Blocks of the scripts of UAX 14's class SA: Thai, Lao, Burmese, Khmer, Tai Le, New Tai Lue,
    # Tai Tham, Tai Viet, Ahom.
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaadf"
    "\U00011700-\U0001173f"
    # Chinese and Japanese.
    "\u3005-\u3007\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9d"
    "\U00020000-\U0003ffff]+"
)


def unspaced_share(texts: Iterable[str]) -> float:
    """Returns the share of the letters of texts whose script has no spaces between words.

    Args:
      texts: without any letter in them the share is 0.

    Example:
      >>> unspaced_share(["ไทย", "abc"])
      0.5
    """
    unspaced = total = 0
    for text in texts:
        letters = "".join(_LETTERS.findall(text))
        unspaced += sum(map(len, _UNSPACED.findall(letters)))
        total += len(letters)
    return unspaced / max(total, 1)


def best_tokenizer(source: Source) -> str:
    """Returns what `--tokenizer=auto` comes to: "char" where most letters are such, else "word".

    Args:
      source: the training texts, of which the first tell.

    Raises:
      UserError: one of them is not a labeled text.
    """
    examples = itertools.islice(source.read(), _SAMPLE_TEXTS)
    share = unspaced_share(example.text[:_SAMPLE_CHARACTERS] for example in examples)
    return "char" if share > 0.5 else "word"
