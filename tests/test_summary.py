"""What is said of the texts of a run before it trains on them."""

import pytest

from tf_textrnn import cli
from tf_textrnn.config import Config
from tf_textrnn.data import splits
from tf_textrnn.data.findings import Finding
from tf_textrnn.data.summary import Summary, summarize
from tf_textrnn.runs.folder import read_report

FINE = [f"{('good', 'bad')[i % 2]}\tfilm number {i} is it" for i in range(20)]


@pytest.fixture
def summary_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def summary(train, valid=FINE[:2], **options):
        (tmp_path / "train.tsv").write_text("\n".join(train) + "\n", encoding="utf-8")
        (tmp_path / "valid.tsv").write_text("\n".join(valid) + "\n", encoding="utf-8")
        given = {"train_file": "train.tsv", "valid_file": "valid.tsv", **options}
        config = Config().replace(cache_dir="cache", **given).settled()
        return summarize(splits.load(config), config.text)

    return summary


@pytest.fixture
def lines_of(summary_of):
    return lambda *files, **options: summary_of(*files, **options).lines()


NEW = ["good\tit is number 2", "bad\tit is number 3"]  # in no other split, of known words


def test_nothing_is_said_of_texts_in_which_nothing_stands_out(lines_of):
    assert lines_of([*FINE, *FINE], NEW) == []  # copies in one split harm nothing


def test_what_is_cut_ends_in_the_flag_that_keeps_it(lines_of):
    long = [f"{line} {'very ' * 118}long" for line in FINE]
    (line,) = lines_of(long, NEW, max_len=62)
    assert line == (
        "20 of 22 texts are cut at 62 tokens, which loses 49.8% of all tokens; --max_len=130"
    )
    assert lines_of(long, NEW, max_len=130) == []


def test_one_longest_text_does_not_decide_how_long_texts_may_be(lines_of):
    texts = [f"{line} {'very ' * 20}" for line in FINE] * 10
    (line,) = lines_of([*texts, "good\t" + "very " * 9_000], NEW, max_len=10)
    assert line.endswith("--max_len=25")


def test_copies_in_two_splits_are_named_by_their_places(lines_of):
    (line,) = lines_of(FINE, ["good\tFilm  NUMBER 4 is it", *NEW])
    assert line == (
        "1 of 3 texts to measure on stand in another split too: train.tsv:5 = valid.tsv:1"
    )


def test_a_text_with_different_labels_is_named_with_them(lines_of):
    (line,) = lines_of([*FINE, *["bad\tfilm number 0 is it"] * 2], NEW)
    assert line == (
        "1 text with different labels in different places: train.tsv:1 (good) = train.tsv:21 (bad)"
    )


def test_labels_of_few_texts_are_named_with_their_counts(lines_of):
    (line,) = lines_of([*FINE, "odd\tone film", "rare\tone more", "rare\tand more"], NEW)
    assert line == "2 labels have fewer than 5 texts: odd (1), rare (2)"


def test_labels_that_look_like_missing_values_end_in_the_flags_to_paste(lines_of, summary_of):
    texts = [f"{label}\t{label} {i}" for label in ("nan", "N/A", "-") for i in range(5)]
    (line,) = lines_of([*FINE, *texts], NEW)
    flags = "--missing_labels=nan,N/A,- --skip_unlabeled"
    assert line == (
        "3 labels look like missing values: nan (5), N/A (5), - (5); to pass over their texts: "
        + flags
    )
    summary = summary_of([*FINE, *texts], NEW, missing_labels="nan,N/A,-", skip_unlabeled=True)
    assert (summary.splits["train"]["texts"], summary.findings) == (20, [])


@pytest.mark.parametrize(
    ("other", "shown"), [("GOOD", "GOOD"), ("go od", "go od"), ("gｏｏd", r"g\uff4f\uff4fd")]
)
def test_labels_that_differ_in_case_blanks_or_forms_only_stand_together(lines_of, other, shown):
    (line,) = lines_of([*FINE, *(f"{other}\tother {i}" for i in range(5))], NEW)
    assert line == (
        f"2 labels differ only in case, blanks or forms of letters: good (11) and {shown} (5)"
    )


def test_empty_texts_are_counted_and_are_no_copies_of_one_another(lines_of):
    (line,) = lines_of([*FINE, "good\t", "bad\t  "], NEW)
    assert line == "2 texts are empty: train.tsv:21, train.tsv:22"


def test_unknown_tokens_are_said_where_they_are_many(lines_of):
    (line,) = lines_of(FINE, [f"{line} strange" for line in NEW])
    assert line.startswith("20.0% of the tokens to validate on are read as unknown; ")


def test_scripts_without_spaces_are_said_in_word_mode(lines_of):
    thai = [f"{line} ภาษาไทยไม่มีช่องว่าง" for line in FINE]
    (line,) = lines_of(thai, NEW, tokenizer="word")
    assert line.endswith("scripts without spaces between words; compare with --tokenizer=char")
    assert lines_of(thai, NEW, tokenizer="char") == []


def test_six_lines_at_most_the_last_of_which_says_how_many_are_left_out():
    finding = Finding("kind", 5, "5 texts", ["a", "b", "c", "d", "e"])
    full = Summary([f"note {i}" for i in range(4)], {}, [finding] * 5).lines()
    assert full == [
        "note 0", "note 1", *["5 texts: a, b, c, …"] * 3, "and 4 more; `textrnn check` shows all"
    ]  # fmt: skip
    assert len(Summary(["note"], {}, [finding] * 5).lines()) == 6


def test_what_was_noted_while_a_file_was_read_is_said_of_its_cached_texts_too(summary_of, tmp_path):
    texts = [*FINE, "\twithout"]
    first = summary_of(texts, NEW, skip_unlabeled=True)
    assert first.notes == ["train.tsv: passes over a text without a label (line 21)"]
    assert summary_of(texts, NEW, skip_unlabeled=True) == first
    (tmp_path / "other.tsv").write_bytes((tmp_path / "train.tsv").read_bytes())
    renamed = summary_of(texts, NEW, skip_unlabeled=True, train_file="other.tsv")
    assert renamed.notes == ["other.tsv: passes over a text without a label (line 21)"]


def test_a_flag_given_leaves_no_note_of_what_was_found_without_it(summary_of, tmp_path):
    lines = [line.replace("film", "café du cinéma") for line in FINE]
    (tmp_path / "latin.tsv").write_bytes("\n".join(lines).encode("cp1252"))
    found = summary_of(FINE, NEW, train_file="latin.tsv").notes
    assert found == [
        "latin.tsv: not UTF-8 (first at line 1); read as cp1252 (--encoding to choose)"
    ]
    assert summary_of(FINE, NEW, train_file="latin.tsv", encoding="cp1252").notes == []


def test_check_prints_all_of_it_and_trains_nothing(summary_of, tmp_path, capsys):
    summary_of([*FINE, *(f"good\tcopy {i}" for i in range(12))], NEW)
    (tmp_path / "valid.tsv").write_text("".join(f"good\tcopy {i}\n" for i in range(12)))
    assert cli.run(["check", "--train_file=train.tsv", "--valid_file=valid.tsv"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[:2] == [
        "train.tsv: tsv; utf-8; columns separated by tabs; no header",
        "valid.tsv: tsv; utf-8; columns separated by tabs; no header",
    ]
    assert "good                 22     12" in shown
    assert "all                  32     12" in shown
    at = shown.index("12 of 12 texts to measure on stand in another split too")
    assert shown[at + 1 : at + 12] == [
        *(f"  train.tsv:{i + 21} = valid.tsv:{i + 1}" for i in range(10)), "  …"
    ]  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {"train.tsv", "valid.tsv", "cache"}


def test_check_says_how_a_table_is_read(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = ["label;text;", *(line.replace("\t", ";") + ";" for line in FINE)]
    (tmp_path / "films.csv").write_text("\n".join(lines), encoding="utf-8")
    assert cli.run(["check", "--train_file=films.csv", "--cache_dir=cache"]) == 0
    assert capsys.readouterr().out.startswith(
        "films.csv: csv; utf-8; columns separated by semicolons; header label, text, ''\n"
        "valid: 10% of the texts to train on (--valid_fraction=0.1); the last model trains on them "
        "too (--folds=1)\n"
    )


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--train_file=none.tsv", "error: --train_file=none.tsv: No such file or directory\n"),
        ("--valid_file=x.tsv", "error: --valid_file=x.tsv: expected --train_file beside it\n"),
    ],
)
def test_check_tells_mistakes_in_one_line(capsys, flag, message):
    assert cli.run(["check", flag]) == 2
    assert capsys.readouterr().err == message


def test_the_report_keeps_it(finished):
    data = read_report(finished)["data"]
    assert data["notes"] == []
    assert data["splits"]["train"]["cut_texts"] == 0
    assert {finding["kind"] for finding in data["findings"]} <= {"leaks", "contradictions"}
