"""When a timetable fires, on plain days and on the two odd days of a year."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.errors import InvalidInput
from quorate.queue.timetable import Cron, Every

BERLIN = ZoneInfo("Europe/Berlin")
DAY_S = 86_400


def at(*when: int, zone: ZoneInfo = BERLIN) -> float:
    return datetime(*when, tzinfo=zone).timestamp()


def fired(expression: str, *day: int) -> list[str]:
    """What fires in Berlin from midnight to noon of a day, as its clocks show it."""
    since = at(*day)
    return [
        datetime.fromtimestamp(moment, BERLIN).strftime("%H:%M%z")
        for moment in Cron(expression, "Europe/Berlin").latest(
            since, at(*day, 11, 59), 100
        )
    ]


GAP, FOLD = (2026, 3, 29), (2026, 10, 25)


@pytest.mark.parametrize(
    ("expression", "day", "expected"),
    [
        # 02:00 to 03:00 does not exist: once, as soon as the gap is over.
        ("30 2 * * *", GAP, ["03:00+0200"]),
        ("0 2 * * *", GAP, ["03:00+0200"]),
        ("0,30 2 * * *", GAP, ["03:00+0200"]),
        ("15 3 * * *", GAP, ["03:15+0200"]),
        ("0 30 2 * * *", GAP, ["03:00+0200"]),
        # 02:00 to 03:00 comes twice: once, the first time.
        ("30 2 * * *", FOLD, ["02:30+0200"]),
        ("0,30 2 * * *", FOLD, ["02:00+0200", "02:30+0200"]),
        ("15 3 * * *", FOLD, ["03:15+0100"]),
        ("0 30 2 * * *", FOLD, ["02:30+0200"]),
        # What goes by the time that passes neither rests nor hurries.
        ("0 */3 * * *", GAP, ["00:00+0100", "03:00+0200", "06:00+0200", "09:00+0200"]),
        ("30 * * * *", (*GAP[:2], 28), [f"{h:02}:30+0100" for h in range(12)]),
        (
            "30 * * * *",
            GAP,
            ["00:30+0100", "01:30+0100", *(f"{h:02}:30+0200" for h in range(3, 12))],
        ),
        (
            "30 * * * *",
            FOLD,
            [
                *(f"{h:02}:30+0200" for h in range(3)),
                *(f"{h:02}:30+0100" for h in range(2, 12)),
            ],
        ),
    ],
)
def test_an_odd_day_fires_by_the_rule(expression, day, expected):
    assert fired(expression, *day) == expected


def test_a_start_in_the_second_half_of_a_fold_does_not_go_back():
    """02:10 for the second time: 02:30 was, the first time."""
    second = at(*FOLD) + 3 * 3600 + 600

    found = Cron("30 2 * * *", "Europe/Berlin").after(second)

    assert found == at(2026, 10, 26, 2, 30)


def test_a_zone_decides_what_a_time_means():
    noon = at(2026, 6, 1, 0, zone=ZoneInfo("UTC"))

    moments = [Cron("0 12 * * *", z).after(noon) for z in ("Asia/Tokyo", "UTC")]

    assert [(moment - noon) / 3600 for moment in moments] == [3, 12]


def test_aliases_and_names_are_known():
    since = at(2026, 11, 20)

    assert Cron("@daily", "Europe/Berlin").after(since) == since + DAY_S
    assert Cron("0 9 * * MON", "Europe/Berlin").after(since) == at(2026, 11, 23, 9)


@pytest.mark.parametrize(
    "expression",
    ["", "x", "* * * *", "61 * * * *", "0 0 30 2 *", "* * * * * * *", None],
)
def test_what_is_not_a_timetable_is_refused(expression):
    with pytest.raises(InvalidInput):
        Cron(expression)


@pytest.mark.parametrize("zone", ["", "Nowhere/Else", "../../etc/passwd", None])
def test_a_zone_that_is_not_there_is_refused(zone):
    with pytest.raises(InvalidInput):
        Cron("* * * * *", zone)


@pytest.mark.parametrize("step_s", [0, 0.5, -1, float("nan"), float("inf")])
def test_a_step_that_cannot_be_is_refused(step_s):
    with pytest.raises(InvalidInput):
        Every(step_s)


def test_even_steps_are_counted_from_the_epoch():
    every = Every(900)

    assert every.after(at(2026, 1, 1, 10, 7)) == at(2026, 1, 1, 10, 15)
    assert every.after(at(2026, 1, 1, 10, 15)) == at(2026, 1, 1, 10, 30)
    assert every.latest(1800, 3600, 2) == [2700, 3600]


TABLES = st.sampled_from(
    [
        Cron("*/7 * * * *", "Europe/Berlin"),
        Cron("15,45 1-3 * * *", "America/New_York"),
        Cron("30 2 * * SUN", "Europe/Berlin"),
        Cron("*/20 * * * * *", "Australia/Lord_Howe"),
        Every(37.5),
    ]
)
AROUND_FOLDS = st.one_of(
    st.floats(at(2026, 3, 27), at(2026, 3, 31)),
    st.floats(at(2026, 10, 23), at(2026, 11, 3)),
)


@given(
    table=TABLES, until=AROUND_FOLDS, back=st.floats(0, 7200), most=st.integers(1, 40)
)
def test_the_latest_are_those_that_come_one_after_the_other(table, until, back, most):
    since = until - back
    steps, moment = [], table.after(since - 60)
    while moment <= until:
        if moment >= since:
            steps.append(moment)
        later = table.after(moment)
        assert later > moment
        moment = later

    assert table.latest(since, until, most) == steps[-most:]
