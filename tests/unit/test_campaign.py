"""What `lode campaign` refuses before it begins, and how many actors a cluster has room for."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import pytest
from click.testing import CliRunner, Result

from db.errors import UsageError
from service.campaign_commands import campaign, line_of, print_reports
from service.campaign_runs import Report


def typed(*arguments: str, **env: str) -> Result:
    return CliRunner().invoke(campaign, ["--model", "x", *arguments], env=env)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say which scenes"),
        (("--scene", "a", "--all"), "say which scenes"),
        (("--all", "--year", "2021"), "say which scenes"),
        (("--mine", "M"), "--mine M: name the year of its scenes with --year"),
        (("--mine", "M", "--scene", "a"), "--mine M: name the year of its scenes with --year"),
        (("--mine", "M", "--year", "2021", "--all"), "say which scenes"),
    ],
)
def test_one_choice_of_scenes(arguments: tuple[str, ...], said: str) -> None:
    done = typed(*arguments)
    assert isinstance(done.exception, UsageError)
    assert said in str(done.exception)


def test_without_ray_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("service.campaign_", "ray."))]:
        if name != "service.campaign_commands":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)  # importing it fails as if it were not there
    done = typed("--all")
    assert isinstance(done.exception, UsageError)
    assert str(done.exception) == "Ray is not installed: pip install 'lode[cluster]'"


@pytest.mark.parametrize(
    ("options", "resources", "fits"),
    [
        ({}, {"CPU": 4.0}, (4, 0.0)),
        ({}, {"CPU": 40.0, "GPU": 8.0}, (8, 1.0)),
        ({"cpus_per_actor": 8}, {"CPU": 40.0, "GPU": 8.0}, (5, 1.0)),
        ({"gpus_per_actor": 0.0}, {"CPU": 40.0, "GPU": 8.0}, (40, 0.0)),
        ({"gpus_per_actor": 0.5}, {"CPU": 40.0, "GPU": 8.0}, (16, 0.5)),
        ({"actors": 3}, {"CPU": 40.0, "GPU": 8.0}, (3, 1.0)),
        ({"actors": 2, "cpus_per_actor": 2}, {"CPU": 4.0}, (2, 0.0)),
    ],
)
def test_room_for_actors(
    options: Mapping[str, Any], resources: Mapping[str, float], fits: tuple[int, float]
) -> None:
    pytest.importorskip("ray")
    from service.campaign_cluster import CrewOptions, what_fits

    assert what_fits(CrewOptions(**options), resources) == fits


@pytest.mark.parametrize(
    ("options", "resources", "said"),
    [
        ({"actors": 5}, {"CPU": 4.0}, "4 cores and 0 GPUs: room for 4 actors of 1 cores each, not for 5"),
        ({"gpus_per_actor": 1.0}, {"CPU": 4.0}, "room for 0 actors of 1 cores and 1 GPUs each"),
        ({"cpus_per_actor": 8}, {"CPU": 4.0}, "room for 0 actors of 8 cores each"),
        ({}, {}, "0 cores and 0 GPUs"),
    ],
)
def test_no_room(options: Mapping[str, Any], resources: Mapping[str, float], said: str) -> None:
    pytest.importorskip("ray")
    from service.campaign_cluster import CrewOptions, what_fits

    with pytest.raises(UsageError) as refused:
        what_fits(CrewOptions(**options), resources)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ray://head:10001", "run the campaign on a machine of the cluster, with --ray auto"),
        ("head", "--ray head: name the cluster as HOST:PORT, or auto"),
        ("127.0.0.1:1", "no Ray cluster at 127.0.0.1:1: Connection refused"),
        ("[::1]:1", "no Ray cluster at [::1]:1: "),
    ],
)
def test_addresses_that_lead_nowhere(address: str, said: str) -> None:
    pytest.importorskip("ray")
    from service.campaign_cluster import CrewOptions, cluster

    with pytest.raises(UsageError) as refused, cluster(address, CrewOptions()):
        pytest.fail("there is a cluster")
    assert said in str(refused.value)


def test_what_became_of_scenes(capsys: pytest.CaptureFixture[str]) -> None:
    good = Report("a", 1, "published", figures={"polygons": 1234, "observed_area_m2": 2_075_260.0})
    before = Report("b", 2, "published before")
    bad = Report("0", 3, "failed", "nothing was observed")
    assert line_of(good) == "a: run 1 published, 1,234 polygons over 2.075 km2"
    assert line_of(before) == "b: run 2 published before"
    assert line_of(bad) == "0: run 3 failed: nothing was observed"
    assert line_of(Report("c", None, "refused", "it was withdrawn")) == "c: refused: it was withdrawn"
    print_reports([bad, good, before])
    said = capsys.readouterr().out
    assert "2 of 3 scenes are published" in said
    assert said.index("nothing was observed") > said.index("published before")
