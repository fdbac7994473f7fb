"""The built-in data set: forty locales, names that only one of them has, splits by concept."""

from tf_textrnn.data import languages


def test_names_belong_to_one_locale_and_concepts_to_one_split():
    names = list(languages.names())
    assert 50_000 < len(names) < 56_000
    assert {example.label for _, example in names} == set(languages.LOCALES)
    assert len(languages.LOCALES) == 40
    assert len({example.text for _, example in names}) == len(names)
    splits = languages.splits()
    texts = {split: {e.text for e in source.read()} for split, source in splits.items()}
    for split, share in {"train": 0.8, "valid": 0.1, "test": 0.1}.items():
        assert abs(len(texts[split]) / len(names) - share) < 0.02
        concepts = {concept for concept, example in names if example.text in texts[split]}
        assert {languages.split_of(concept) for concept in concepts} == {split}


def test_the_split_of_a_concept_never_changes():
    concepts = ("territories/US", "territories/CK", "territories/CM", "languages/af")
    assert [languages.split_of(concept) for concept in concepts] == EXPECTED_SPLITS


EXPECTED_SPLITS = ["train", "valid", "test", "train"]
