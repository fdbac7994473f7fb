"""What a person sees of a tuning under way: a bar on a terminal, and a line a trial."""

import contextlib
from collections.abc import Iterator

from tqdm import auto

from tf_textrnn.base.tables import cut_to
from tf_textrnn.base.terminal import show, shows_bars

_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {elapsed}{postfix}"
_WORDS = 60  # columns


class Bar:
    """A bar of the time, on a terminal alone.

    Args:
      total: seconds of the whole tuning.
      spent: those of earlier starts.
    """

    def __init__(self, total: float, spent: float):
        self._bar = auto.tqdm(
            desc="tuning", total=total, initial=min(spent, total), leave=False,
            disable=not shows_bars(), bar_format=_FORMAT, dynamic_ncols=True,
        )  # fmt: skip
        self.best = ""

    def update(self, spent: float, under_way: str) -> None:
        """Moves the bar to the seconds spent, with the best so far and what is under way."""
        self._bar.set_postfix_str(cut_to("; ".join(filter(None, [self.best, under_way])), _WORDS))
        self._bar.update(min(spent, self._bar.total) - self._bar.n)

    def tell(self, line: str) -> None:
        """Prints a line above the bar."""
        with self._bar.external_write_mode():
            show(line)

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Inside, the bar is there."""
        try:
            yield
        finally:
            self._bar.close()
