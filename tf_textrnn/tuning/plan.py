"""How the minutes of a tuning are shared, by what its runs have taken."""

from typing import NamedTuple

_TO_STOP = 0.01  # share of the time in which the trials that the search's end stops save and end


class Times(NamedTuple):
    """What a run has taken.

    Attributes:
      trained: seconds until its last epoch.
      seconds: those until its end, with the report and, of the default, the export.
    """

    trained: float
    seconds: float


class Plan(NamedTuple):
    """How the seconds of a tuning are shared.

    Attributes:
      num_pairs: number of other seeds on which the default and the best trial are to be trained.
      pair: seconds of such a pair.
      final: seconds of the last run, with its report and export.
      search_end: when the search is to end, in seconds since the tuning began.
    """

    num_pairs: int
    pair: float
    final: float
    search_end: float


def plan(
    total: float, default: Times, best: Times | None, slots: int, last_trainings: int = 1
) -> Plan:
    """Shares the seconds of a tuning.

    The last run is foreseen: it trains as long as the best trial, or twice as long, and ends as the
    default does. Of what is left, other seeds get up to a third, in whole pairs; there are none
    while no trial is better than the default.

    Args:
      total: seconds that the tuning may take.
      default: of the default's run.
      best: of the best trial; None = the default is the best.
      slots: number of runs side by side.
      last_trainings: how often the last run trains: again on all texts, where they are few.

    Example:
      >>> plan(600.0, Times(30.0, 40.0), Times(40.0, 45.0), slots=1)
      Plan(num_pairs=2, pair=85.0, final=50.0, search_end=374.0)
    """
    trained = (best or default).trained
    final = last_trainings * trained + default.seconds - default.trained
    end = (1 - _TO_STOP) * total - final
    rest = max(0.0, total - default.seconds - final)
    if best is None:
        return Plan(0, 0.0, final, end)
    pair = (default.seconds + best.seconds) / slots
    num_pairs = int(rest / 3 / pair)
    return Plan(num_pairs, pair, final, end - num_pairs * pair)
