"""The order of labels."""

from hypothesis import given
from hypothesis import strategies as st

from tf_textrnn.base.ordering import natural_order


def test_numbers_stand_by_their_value_in_any_script():
    assert natural_order(["10", "2", "-1", "1.5", "٣"]) == ["-1", "1.5", "2", "٣", "10"]
    assert natural_order(["b", "level 10", "level 9", "7"]) == ["7", "b", "level 9", "level 10"]


@given(st.lists(st.text(), unique=True))
def test_any_labels_have_one_order(labels):
    assert natural_order(labels) == natural_order(reversed(labels))


def test_a_number_may_have_any_length():
    assert natural_order(["9" * 5_000, "1", "a" + "8" * 5_000])[0] == "1"
