import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.errors import InvalidInput
from quorate.watch.versioned import Versioned

VERSIONS = st.builds(
    Versioned, st.integers(), st.integers(0, 20), st.sampled_from(["a", "b"])
)


def test_a_later_version_supersedes_an_earlier_one():
    first = Versioned("red", 4)

    assert Versioned("blue", 5).supersedes(first)
    assert not Versioned("blue", 4).supersedes(first)
    assert not Versioned("blue", 3).supersedes(first)


def test_anything_supersedes_nothing():
    assert Versioned("red", 0).supersedes(None)


def test_another_epoch_supersedes_whatever_its_number():
    assert Versioned("red", 1, "new").supersedes(Versioned("red", 99, "old"))


def test_the_next_value_is_one_version_later_in_the_same_epoch():
    assert Versioned("red", 4, "e").then("blue") == Versioned("blue", 5, "e")
    assert Versioned("red", 4, "e").then("blue", 9) == Versioned("blue", 9, "e")


def test_a_version_cannot_stand_still_or_go_back():
    with pytest.raises(InvalidInput, match="cannot follow version 4"):
        Versioned("red", 4).then("blue", 4)


def test_a_version_cannot_be_negative():
    with pytest.raises(InvalidInput, match="cannot be -1"):
        Versioned("red", -1)


@given(VERSIONS, VERSIONS)
def test_within_an_epoch_only_one_of_two_is_news_to_the_other(one, other):
    both = one.supersedes(other) and other.supersedes(one)

    assert both == (one.epoch != other.epoch)
