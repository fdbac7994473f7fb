"""Counts the texts of each label, and tells labels that can be none."""

from tf_textrnn.base.errors import UserError

_LOOKED_LABELS = 10_000  # different labels at which they are looked at, before the end of the files
_FEW_TEXTS = 20  # with fewer, nothing can be said of the labels


class LabelCounts(dict[str, int]):
    """Counts the texts of each label."""

    def __init__(self, name: str, column: str):
        super().__init__()
        self._name = name
        self._column = column

    def __missing__(self, label: str) -> int:
        if len(self) == _LOOKED_LABELS:
            self.check()
        return 0

    def check(self) -> None:
        """Raises a UserError if most texts have a label of their own, as if it were a text."""
        num_texts = sum(self.values())
        num_alone = sum(count == 1 for count in self.values())
        if num_texts >= _FEW_TEXTS and num_alone * 2 > num_texts:
            raise UserError(
                f"{self._name}: {len(self):,} different labels in {num_texts:,} texts, such as "
                f"{next(iter(self))[:40]!r}; is --label_column={self._column} right?"
            )
