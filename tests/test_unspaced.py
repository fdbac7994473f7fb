"""What `--tokenizer=auto` comes to: by the scripts of the training texts, once for each run."""

import pytest

from tf_textrnn.base.errors import UserError
from tf_textrnn.data.memory import memory_source
from tf_textrnn.data.sources import Example, Source
from tf_textrnn.data.unspaced import best_tokenizer, unspaced_share
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.training.distribution import Workers
from tf_textrnn.training.resume import open_run

THAI, ENGLISH = "อาหารอร่อยมาก", "a fine film"


@pytest.mark.parametrize(
    ("texts", "share"),
    [
        ([], 0),
        (["123 !? ้", ""], 0),
        ([ENGLISH, "한국어 हिन्दी བོད"], 0),
        (["ไทย ລາວ ខ្មែរ မြန်မာ ᥖᥭᥰ 多赚々 カタカナ ひらがな 𠀋 12"], 1),
        (["ก ข", "ab"], 0.5),
    ],
)
def test_unspaced_share(texts, share):
    assert unspaced_share(iter(texts)) == share


def test_the_first_texts_tell_and_no_more_are_read():
    def read():
        yield from [Example("a", THAI), Example("b", "ab")] * 500
        raise AssertionError

    assert best_tokenizer(Source("x", "", read)) == "char"
    assert best_tokenizer(memory_source("x", [ENGLISH, "ไทย"], ["a", "b"])) == "word"


def opened(folder, text, **given):
    (folder / "x.tsv").write_text(f"a\t{text}\nb\t{text}\n", encoding="utf-8")
    given = {"train_file": str(folder / "x.tsv"), "run_dir": str(folder / "r"), **given}
    config, _ = open_run(given, Workers(), None)
    return config


def test_a_run_begins_with_what_its_texts_ask_for(tmp_path):
    for text in (THAI, "这部电影很好"):
        config = opened(tmp_path, text)
        assert (config.text.tokenizer, config.model.ngrams) == ("char", 4)
    assert opened(tmp_path, THAI, tokenizer="word").text.tokenizer == "word"
    config = opened(tmp_path, ENGLISH)
    assert (config.text.tokenizer, config.model.ngrams) == ("word", 2)
    source = memory_source("texts", [THAI, THAI], ["a", "b"])
    given = {"dataset": "(texts)", "run_dir": str(tmp_path / "r")}
    config, sources = open_run(given, Workers(), {"train": source})
    assert config.text.tokenizer == "char" and sources == {"train": source}


@pytest.mark.parametrize("begun_with", ["word", "char"])
def test_a_resumed_run_keeps_its_tokenizer(tmp_path, begun_with):
    config = opened(tmp_path, THAI, tokenizer=begun_with)
    folder = RunFolder(config.run.run_dir)
    folder.path.mkdir()
    folder.config.write_text(config.to_json(), encoding="utf-8")
    for given in ({}, {"tokenizer": "auto"}, {"tokenizer": begun_with}):
        resumed = opened(tmp_path, THAI, resume=True, **given)
        assert resumed.text == config.text and resumed.model == config.model
    other = {"word": "char", "char": "word"}[begun_with]
    with pytest.raises(UserError, match=f"--tokenizer={other}: the run to resume has {begun_with}"):
        opened(tmp_path, THAI, resume=True, tokenizer=other)
