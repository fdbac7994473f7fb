"""`textrnn compare`, against scikit-learn and tests written by hand."""

import itertools
import json

import numpy as np
import pytest
from scipy import special
from sklearn.metrics import accuracy_score, f1_score

from tf_textrnn import cli
from tf_textrnn.runs.bootstrap import are_equal, compare_measures, mcnemar, measure_intervals
from tf_textrnn.runs.compare import label_rows

TEXTS, LABELS = 200, ["a", "b", "c"]


@pytest.fixture(scope="module")
def columns():
    """Labels, and the answers of two models of which the second is better."""
    random = np.random.default_rng(1)
    truth = random.choice(LABELS, TEXTS, p=[0.6, 0.3, 0.1])
    answers = [np.where(random.random(TEXTS) < p, truth, random.choice(LABELS, TEXTS))
               for p in (0.5, 0.8)]  # fmt: skip
    return [column.tolist() for column in (truth, *answers)]


def test_the_measures_are_those_of_scikit_learn(columns):
    found = compare_measures(*label_rows(columns, has_sets=False))
    truth = columns[0]
    for place, answers in enumerate(columns[1:]):
        assert found["accuracy"][place] == pytest.approx(accuracy_score(truth, answers))
        for average in ("macro", "weighted", "micro"):
            expected = f1_score(truth, answers, average=average)
            assert found[f"{average}_f1"][place] == pytest.approx(expected)


def test_the_interval_is_that_of_pairs(columns):
    """Of a mean, the bootstrap's interval is that of the normal distribution."""
    truth, first, second = label_rows(columns, has_sets=False)
    found = compare_measures(truth, first, second)["accuracy"]
    gains = are_equal(truth, second) * 1.0 - are_equal(truth, first)
    middle, spread = gains.mean(), 1.96 * gains.std() / np.sqrt(TEXTS)
    np.testing.assert_allclose(
        [found.low, found.high], [middle - spread, middle + spread], atol=0.01
    )
    low, high = measure_intervals(truth, second)["accuracy"]
    share = are_equal(truth, second).mean()
    spread = 1.96 * np.sqrt(share * (1 - share) / TEXTS)
    np.testing.assert_allclose([low, high], [share - spread, share + spread], atol=0.01)
    same = compare_measures(truth, first, first)
    assert all(x.low == x.high == 0 for x in same.values())


def test_mcnemar_is_the_share_of_fair_coins_that_fall_as_unevenly():
    for one, other in itertools.product(range(6), repeat=2):
        both = one + other
        tails = [k for k in range(both + 1) if abs(2 * k - both) >= abs(one - other)]
        expected = sum(special.comb(both, k) for k in tails) / 2**both
        assert mcnemar(one, other) == pytest.approx(expected)


def test_sets_are_compared_as_sets():
    truth, one, other = ["a|b", "", "b"], ["a", "a", "b"], ["a|b", "", "a"]
    rows = label_rows([truth, one, other], has_sets=True)
    found = compare_measures(*rows)
    assert (found["accuracy"].first, found["accuracy"].second) == pytest.approx((1 / 3, 2 / 3))
    expected = [f1_score(rows[0] > 0, x > 0, average="micro") for x in rows[1:]]
    assert found["micro_f1"][:2] == pytest.approx(expected)


@pytest.fixture
def runs(tmp_path, columns):
    """Folders with what `compare` reads of two runs."""
    for name, answers in zip("ab", columns[1:], strict=True):
        run = tmp_path / name
        run.mkdir()
        row = {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}
        totals = dict.fromkeys(["best_epoch", "valid_accuracy", "accuracy", "macro_f1"], 1)
        report = {"texts": {"train": 1, "test": TEXTS}, "per_class": dict.fromkeys(LABELS, row),
                  "evaluated_on": "test", "texts_hash": "x", **totals}  # fmt: skip
        (run / "report.json").write_text(json.dumps(report))
        pairs = enumerate(zip(columns[0], answers, strict=True), 1)
        lines = [f"{place}\t{label}\t{said}\t0.5000" for place, (label, said) in pairs]
        text = "\n".join(["place\tlabel\tprediction\tprobability", *lines]) + "\n"
        (run / "predictions.tsv").write_text(text)
    return [tmp_path / name for name in "ab"]


def test_it_says_which_run_is_better_and_where_they_differ(runs, columns, tmp_path, capsys):
    output = tmp_path / "differing.tsv"
    assert cli.run(["compare", *map(str, runs), f"--output={output}"]) == 0
    shown = capsys.readouterr().out
    truth, first, second = columns
    assert f"accuracy     {accuracy_score(truth, first):>{len(str(runs[0]))}.4f}  " in shown
    assert "chance alone hardly does that" in shown
    differing = [i for i, (x, y) in enumerate(zip(first, second, strict=True), 1) if x != y]
    lines = [line.split("\t") for line in output.read_text().splitlines()]
    assert [int(line[0]) for line in lines[1:]] == differing
    assert lines[1][1:] == [truth[differing[0] - 1], first[differing[0] - 1], "0.5000",
                            second[differing[0] - 1], "0.5000"]  # fmt: skip
    assert cli.run(["compare", str(runs[0]), str(runs[0])]) == 0
    shown = capsys.readouterr().out
    assert "they answer every text alike" in shown and "chance alone may do that" in shown


def change(run, **values):
    path = run / "report.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def end_with(run, line):
    path = run / "predictions.tsv"
    path.write_text(path.read_text() + line)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: change(run, texts_hash="y"), "expected reports of the same texts"),
        (lambda run: change(run, per_text_f1=1.0), "expected the same --multi_label of both"),
        (lambda run: change(run, texts_hash=None), "an older version wrote it"),
        (lambda run: (run / "predictions.tsv").unlink(), "expected a run that has ended"),
        (lambda run: end_with(run, "9\ta\n"), "predictions.tsv:202: expected 4 cells, found 2"),
    ],
)
def test_runs_that_cannot_be_compared_are_one_line(runs, spoil, message, tmp_path, capsys):
    spoil(runs[1])
    output = tmp_path / "differing.tsv"
    assert cli.run(["compare", *map(str, runs), f"--output={output}"]) == 2
    assert message in capsys.readouterr().err
    assert not output.exists()


def test_sets_in_another_order_are_the_same_answer(runs, capsys):
    for run, answer in zip(runs, ("a|b", "b|a"), strict=True):
        change(run, per_text_f1=1.0)
        (run / "predictions.tsv").write_text(f"place\tlabel\t…\n1\ta|b\t{answer}\t0.5000\n")
    assert cli.run(["compare", *map(str, runs)]) == 0
    assert "they answer every text alike" in capsys.readouterr().out


def test_an_output_that_cannot_be_written_is_one_line(runs, capsys):
    assert cli.run(["compare", *map(str, runs), "--output=/proc/nope/x.tsv"]) == 2
    assert "--output=/proc/nope/x.tsv: cannot be written" in capsys.readouterr().err


def test_it_takes_two_runs(runs, capsys):
    assert cli.run(["compare", str(runs[0])]) == 2
    assert "expected the folders of two runs, found 1" in capsys.readouterr().err
