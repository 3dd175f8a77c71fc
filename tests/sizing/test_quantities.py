"""Counts, bytes and durations as people write and read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.errors import ConfigError
from prismrec.sizing.quantities import bytes_of, count_of, show_bytes, show_count, show_seconds


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("57e9", 57 * 10**9), ("57B", 57 * 10**9), ("57 b", 57 * 10**9), ("1_000_000", 10**6), ("1,000,000", 10**6),
        ("1M", 10**6), ("2.5k", 2500), ("1.5e3", 1500), ("3T", 3 * 10**12), ("0", 0), (" 7 ", 7), ("1e+6", 10**6),
    ],
)  # fmt: skip
def test_counts_are_read_as_people_write_them(text, count):
    assert count_of(text) == count


@pytest.mark.parametrize(
    "text", ["", "many", "-1", "1.5", "1e-3", "5 GB", "1e", "M", "1..2", "nan", "inf", "٣", "1e400"]
)
def test_what_is_no_count_is_refused_with_examples(text):
    with pytest.raises(ConfigError, match="--clicks must be a count such as 57e9"):
        count_of(text, "--clicks")


@given(st.integers(0, 10**18))
def test_every_plain_number_is_read_exactly(n):
    assert count_of(str(n)) == count_of(f"{n:,}") == count_of(f"{n:_}") == n


@pytest.mark.parametrize(
    ("text", "size"),
    [("24GB", 24 * 10**9), ("500 mb", 5 * 10**8), ("1.5TB", 15 * 10**11), ("2GiB", 2**31), ("1kB", 1000)],
)
def test_sizes_are_read_with_their_unit(text, size):
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["24", "24G", "GB", "-1GB", "1.5B"])
def test_a_size_without_a_unit_is_refused(text):
    with pytest.raises(ConfigError, match="--memory must be a size such as 24GB"):
        bytes_of(text, "--memory")


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1234, "1.23 kB"), (65.04e9, "65 GB"), (520e9, "520 GB"),
        (999.6e9, "1 TB"), (2e12, "2 TB"), (1e21, "1,000 EB"),
    ],
)  # fmt: skip
def test_bytes_are_shown_with_three_digits(n, text):
    assert show_bytes(n) == text


@pytest.mark.parametrize(
    ("n", "text"), [(7, "7"), (1770, "1.77 k"), (10**6, "1 M"), (57e9, "57 B"), (2.24e12, "2.24 T")]
)
def test_counts_are_shown_with_three_digits(n, text):
    assert show_count(n) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"), (0.0004, "0.4 ms"), (0.5, "500 ms"), (0.999, "999 ms"),
        (1, "1 s"), (9.94, "9.9 s"), (59.4, "59 s"), (60, "1 min"), (90, "1.5 min"), (3600, "1 h"),
        (86_400, "1 days"), (36_000, "10 h"), (4e5, "4.6 days"), (1e9, "11,574 days"),
    ],
)  # fmt: skip
def test_durations_are_shown_in_the_unit_that_suits(seconds, text):
    assert show_seconds(seconds) == text
