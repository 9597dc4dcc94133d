import io
import json

import pytest

from localcluster.progress import Progress, Stage, duration, running_line, table


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (400, "6 min 40 s"),
    ],
)
def test_durations_are_for_people(seconds, text):
    assert duration(seconds) == text


def test_a_running_stage_says_how_long_it_took_last_time():
    assert "(last time 6 min 40 s)" in running_line(Stage("Build"), 3, 400)
    assert "last time" not in running_line(Stage("Build"), 3, None)


def test_the_table_has_the_longest_stage_first_and_the_total_last():
    stages = [Stage("quick", done_s=1), Stage("long", done_s=5), Stage("nothing", done_s=0.1)]
    lines = table(stages, 6.1).splitlines()
    assert [line.split()[0] for line in lines] == ["long", "quick", "total"]


def test_without_a_terminal_each_stage_is_one_plain_line(tmp_path):
    out = io.StringIO()
    with Progress(tmp_path / "times.json", out).stage("Build") as stage:
        stage.note = "from modules"
    assert out.getvalue().count("\n") == 1
    assert "\033" not in out.getvalue()
    assert "from modules" in out.getvalue()


def test_times_are_remembered_for_the_next_time(tmp_path):
    times = tmp_path / "times.json"
    with Progress(times, io.StringIO()).stage("Build"):
        pass
    assert "Build" in json.loads(times.read_text())


def test_a_failed_stage_does_not_spoil_the_remembered_time(tmp_path):
    times = tmp_path / "times.json"
    times.write_text('{"Build": 400}')
    out = io.StringIO()
    with pytest.raises(RuntimeError), Progress(times, out).stage("Build"):
        raise RuntimeError
    assert json.loads(times.read_text()) == {"Build": 400}
    assert "✗ Build" in out.getvalue()
