"""The newest message ids."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.recent import Recent

KEYS = st.lists(st.sampled_from([b"a", b"b", b"c", b"d", b"e"]), max_size=40)


@given(KEYS, st.integers(1, 4))
def test_the_newest_that_are_new_when_they_come_are_known(keys: list[bytes], most: int) -> None:
    recent = Recent(most)
    naive: list[tuple[bytes, int]] = []
    for number, key in enumerate(keys):
        recent.add(key, number)
        if key not in dict(naive):
            naive = [*naive, (key, number)][-most:]
        assert list(recent) == [known for known, _number in naive]
        assert {one: recent.get(one) for one in b"a b c d e".split()} == {
            one: dict(naive).get(one) for one in b"a b c d e".split()
        }
