"""The search of a tuning: its space, its journal, its times, and what other seeds say."""

import json

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import Config
from tf_textrnn.data import splits
from tf_textrnn.tuning.clock import Clock
from tf_textrnn.tuning.plan import Times, plan
from tf_textrnn.tuning.repeats import Pair, gain
from tf_textrnn.tuning.search import FIRST_RUNG, Search
from tf_textrnn.tuning.space import VARIED, as_options, space_of

SPACE = space_of({}, Config().settled("word"), num_texts=1_000, num_labels=3)


def search(tmp_path, seed=1):
    return Search(tmp_path / "study.journal", SPACE, is_maximized=False, seed=seed)


def run_trial(found, epochs, best, trial=None):
    """Runs a trial whose loss falls to `best`; returns after how many epochs it was stopped."""
    trial = trial or found.begin()
    values = [best + 1 / (epoch + 1) for epoch in range(epochs)]
    for epoch in range(1, epochs + 1):
        if found.report(trial, values[:epoch]):
            found.prune(trial)
            return epoch
    found.complete(trial, values[-1])
    return None


def test_what_is_varied_follows_the_data_and_leaves_alone_what_is_given():
    config = Config().settled("word")
    assert set(SPACE.distributions) == set(VARIED)
    assert "label_smoothing" not in space_of({}, config, 1_000, 2).distributions
    assert "ngrams" not in space_of({"init_from": "runs/r"}, config, 1_000, 3).distributions
    large = space_of({"keep_prob": 0.5}, config, 50_000, 10)
    assert "keep_prob" not in large.distributions
    assert large.distributions["word_dropout"].low == 0.1
    char = space_of({}, Config().settled("char"), 1_000, 3)
    assert (char.distributions["ngrams"].low, char.distributions["ngrams"].high) == (3, 4)
    for space in (SPACE, large, char):
        for values in (space.default, *space.known):
            assert values.keys() == space.distributions.keys()
            for name, value in values.items():
                assert space.distributions[name].low <= value <= space.distributions[name].high


def test_nothing_varied_changes_which_texts_are_validated(small_options):
    given = {**small_options, "valid_file": ""}
    data = splits.load(Config().replace(**given).settled("word"))
    for name, values in SPACE.distributions.items():
        for value in (values.low, values.high):
            options = as_options({name: value})
            other = splits.load(Config().replace(**{**given, **options}).settled("word"))
            assert other.fingerprint == data.fingerprint
            np.testing.assert_array_equal(other.valid.rows, data.valid.rows)


def test_a_trial_that_others_beat_is_stopped_at_a_rung(tmp_path):
    found = search(tmp_path)
    assert run_trial(found, 8, best=0.5) is None
    assert found.options_of(0) == {}
    assert run_trial(found, 8, best=0.6) == FIRST_RUNG
    assert run_trial(found, 8, best=0.4) is None
    assert [trial.number for trial in found.complete_trials()] == [2, 0]
    assert found.options_of(1) == {"keep_prob": 0.6, "word_dropout": 0.1}


def test_a_search_that_was_killed_goes_on_where_it_was(tmp_path):
    first = search(tmp_path)
    run_trial(first, 8, best=0.5)
    under_way = first.begin()
    first.report(under_way, [0.9, 0.8])
    first._study.ask()  # killed before it had its settings
    proposed = first.options_of(first.begin().number)

    again = search(tmp_path)
    resumed, other = again.unfinished()
    assert (resumed.number, again.options_of(other.number)) == (under_way.number, proposed)
    assert [trial.state.name for trial in again.ended()] == ["COMPLETE", "FAIL"]
    assert run_trial(again, 8, best=0.6, trial=resumed) == FIRST_RUNG
    values = again.ended()[1].intermediate_values
    assert values == {1: 0.9, 2: 0.8, 3: pytest.approx(0.6 + 1 / 3)}


def test_a_search_proposes_anew_after_a_restart(tmp_path):
    drawn = []
    for _ in range(3):
        found = search(tmp_path)
        for _ in range(3):
            trial = found.begin()
            drawn.append(tuple(trial.params.items()))
            found.fail(trial)
    assert len(set(drawn)) == len(drawn)


def test_a_torn_line_of_the_journal_is_cut_off(tmp_path):
    run_trial(search(tmp_path), 8, best=0.5)
    journal = tmp_path / "study.journal"
    with open(journal, "ab") as file:
        file.write(b'{"op_code":4,"wor')
    found = search(tmp_path)
    run_trial(found, 8, best=0.4)
    assert [trial.number for trial in search(tmp_path).complete_trials()] == [1, 0]
    for line in journal.read_text(encoding="utf-8").splitlines():
        json.loads(line)


@pytest.mark.parametrize("content", ["no journal\n", '{"op_code": 99}\n', "[]\n"])
def test_a_damaged_journal_is_one_line(tmp_path, content):
    (tmp_path / "study.journal").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"study\.journal: damaged .* expected Optuna's journal"):
        search(tmp_path)


TIMES = st.tuples(st.floats(1, 100), st.floats(0, 20)).map(lambda t: Times(t[0], t[0] + t[1]))


@given(st.floats(10, 10_000), TIMES, TIMES, st.integers(1, 8), st.sampled_from([1, 2]))
def test_the_last_trainings_are_kept_free_and_other_seeds_get_a_third(
    total, default, best, slots, trainings
):
    found = plan(total, default, best, slots, trainings)
    rest = max(0, total - default.seconds - found.final)
    at_end = default.seconds - default.trained
    assert found.final == pytest.approx(trainings * best.trained + at_end)
    assert found.num_pairs * found.pair <= rest / 3 + 1e-6
    spent = found.search_end + found.num_pairs * found.pair + found.final
    assert spent == pytest.approx(0.99 * total)  # stopping takes a moment
    end = plan(total, default, None, slots, trainings).search_end
    assert end == pytest.approx(0.99 * total - trainings * default.trained - at_end)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=6, unique=True))
def test_the_interval_of_the_gain_is_that_of_students_t(values):
    differences = [best - default for default, best in values]
    if np.std(differences) < 1e-3:
        return
    found = gain([Pair(k, *pair) for k, pair in enumerate(values)], sign=1)
    expected = scipy.stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    of_losses = gain([Pair(k, *pair) for k, pair in enumerate(values)], sign=-1)
    assert (of_losses.mean, of_losses.low) == pytest.approx((-found.mean, -found.high))


def test_one_seed_has_no_interval_and_none_no_gain():
    assert gain([], 1) is None
    assert np.isinf(gain([Pair(2, 0.5, 0.6)], 1)[1:]).all()


def test_the_clock_counts_the_time_of_all_starts(tmp_path, monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    clock = Clock(tmp_path / "state.json", 1, started=90.0)
    assert (clock.spent, clock.total) == (10.0, 60.0)
    clock.seconds["trials/0"] = 7.0
    clock.chosen = 3
    clock.save()
    now = 1_000.0
    again = Clock(tmp_path / "state.json", 2, started=995.0)
    assert (again.spent, again.total, again.chosen, again.kept) == (15.0, 120.0, 3, None)
    assert again.seconds == {"trials/0": 7.0}
    (tmp_path / "state.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"state\.json: damaged"):
        Clock(tmp_path / "state.json", 2, started=995.0)
