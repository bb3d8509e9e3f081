"""Settings: flag > environment > profile > default, and each value knows where it came from."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iraas.core.resolver import resolve
from iraas.core.settings import Profile, ResolvedSettings, Settings, variable
from iraas.errors import ConfigurationError, IraasError, UsageError

DEFAULTS: Mapping[str, object] = {"home": Path("/data"), "cache": Path("/cache")}
SAMPLES = {
    "home": "/elsewhere",
    "cache": "/elsewhere",
    "deployment": "blue",
    "backend": "aws",
    "model": "other",
    "max_workers": "3",
    "images_per_worker": "7",
    "processes": "2",
    "image_cpu_s": "2.5",
    "lease_s": "45.5",
    "idle_timeout_s": "0.5",
    "poll_s": "2.5",
    "stall_timeout_s": "90",
    "max_attempts": "4",
    "max_image_bytes": "1000",
    "max_pixels": "1000",
    "min_free_bytes": "500_000_000",
    "max_stored_bytes": "0",
    "token": "sesame",
    "public_url": "https://photos.example.com",
    "max_pending": "5",
    "webhook_hosts": "example.org,example.net:8443",
    "webhook_secret": "hush",
    "region": "eu-central-1",
    "instance_types": "c6a.large,c6i.large",
    "pricing": "on-demand",
    "subnets": "subnet-1",
    "max_life_min": "60",
    "keep_data_days": "7",
    "web_instance_type": "t3.medium",
    "web_cidr": "203.0.113.0/24",
    "prices": "/elsewhere.json",
}


def resolved(
    flags: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    profile: Mapping[str, object] | None = None,
) -> ResolvedSettings:
    return resolve(
        flags=flags or {},
        environment=environment or {},
        profiles=() if profile is None else [Profile(profile, "iraas.toml [default]")],
        defaults=DEFAULTS,
    )


def test_every_setting_has_a_sample_here() -> None:
    assert set(SAMPLES) == {one.name for one in fields(Settings)}


def test_with_nothing_given_everything_is_the_default() -> None:
    found = resolved()
    assert found.settings == Settings(home=Path("/data"), cache=Path("/cache"))
    assert set(found.sources.values()) == {"default"}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_flag_wins_over_the_environment_that_over_the_profile_that_over_the_default(
    name: str,
) -> None:
    sample = SAMPLES[name]
    environment = {variable(name): sample}
    default = getattr(resolved().settings, name)

    by_flag = resolved({name: sample}, {variable(name): "?"}, {name: "?"})
    by_environment = resolved({name: None}, environment, {name: "?"})
    by_profile = resolved({}, {variable(name): ""}, {name: sample})

    assert by_flag.sources[name] == "flag"
    assert by_environment.sources[name] == f"environment IRAAS_{name.upper()}"
    assert by_profile.sources[name] == "iraas.toml [default]"
    values = {getattr(one.settings, name) for one in (by_flag, by_environment, by_profile)}
    assert len(values) == 1
    assert values != {default}


@given(st.dictionaries(st.sampled_from(sorted(SAMPLES)), st.sampled_from("fep"), min_size=1))
def test_each_value_knows_its_own_source(origins: dict[str, str]) -> None:
    found = resolved(
        {name: SAMPLES[name] for name, origin in origins.items() if origin == "f"},
        {variable(name): SAMPLES[name] for name, origin in origins.items() if origin == "e"},
        {name: SAMPLES[name] for name, origin in origins.items() if origin == "p"},
    )
    for name, source in found.sources.items():
        expected = {"f": "flag", "e": f"environment {variable(name)}", "p": "iraas.toml [default]"}
        assert source == expected.get(origins.get(name, ""), "default")


def test_web_access_can_be_set_to_none() -> None:
    assert resolved({"web_cidr": "none"}).settings.web_cidr == ""
    assert resolved().settings.web_cidr is None


def test_numbers_of_a_file_need_no_quotes() -> None:
    settings = resolved(profile={"max_workers": 3, "lease_s": 12, "idle_timeout_s": 0.5}).settings
    assert (settings.max_workers, settings.lease_s, settings.idle_timeout_s) == (3, 12.0, 0.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("deployment", "Blue"),
        ("deployment", ""),
        ("deployment", "../up"),
        ("deployment", "x" * 33),
        ("backend", "azure"),
        ("max_workers", "0"),
        ("max_workers", "20"),
        ("max_workers", "many"),
        ("max_workers", "1.5"),
        ("max_workers", "9" * 5000),
        ("lease_s", "nan"),
        ("lease_s", "inf"),
        ("lease_s", "-1"),
        ("lease_s", "0.5"),
        ("lease_s", "soon"),
        ("max_attempts", "0"),
        ("max_attempts", "11"),
        ("max_pixels", "0"),
        ("max_life_min", "0"),
        ("keep_data_days", "0"),
        ("web_cidr", "everybody"),
        ("web_cidr", "203.0.113.7/24"),
        ("home", ""),
        ("home", "a\x00b"),
        ("home", "~nobody-of-this-name/x"),
        ("model", ""),
    ],
)
def test_a_value_that_cannot_be_used_names_its_setting_and_its_source(
    name: str, value: str
) -> None:
    with pytest.raises(UsageError) as caught:
        resolved({name: value})
    text = str(caught.value)
    assert name in text
    assert "(from flag)" in text
    assert "literal" not in text
    assert "could not convert" not in text
    assert variable(name) in caught.value.remedy
    assert len(text) < 300


def test_a_bad_value_of_the_environment_is_traced_to_its_variable() -> None:
    with pytest.raises(ConfigurationError, match="from environment IRAAS_MAX_WORKERS"):
        resolved(environment={"IRAAS_MAX_WORKERS": "99"})


def test_a_bad_value_of_the_file_is_traced_to_its_table() -> None:
    with pytest.raises(ConfigurationError, match=r"from iraas\.toml \[default\]"):
        resolved(profile={"max_workers": True})


def test_a_setting_that_does_not_exist_is_an_error_in_a_file() -> None:
    with pytest.raises(ConfigurationError, match="unknown setting: max_wrokers") as caught:
        resolved(profile={"max_wrokers": 3})
    assert "iraas config show" in caught.value.remedy


def test_a_setting_that_does_not_exist_is_ignored_in_the_environment() -> None:
    assert resolved(environment={"IRAAS_TEST_FAULTS": "x"}) == resolved()


def test_a_home_may_be_relative_or_in_the_users_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert resolved({"home": "~/data"}).settings.home == Path("/home/somebody/data")
    assert resolved({"home": "data"}).settings.home == Path.cwd() / "data"


def test_large_numbers_may_be_written_with_underscores() -> None:
    assert resolved({"max_pixels": "64_000_000"}).settings.max_pixels == 64_000_000


@pytest.mark.parametrize(
    ("text", "site"),
    [
        ("https://Photos.Example.com/", "https://photos.example.com"),
        ("https://photos.example.com:443", "https://photos.example.com"),
        ("http://photos.example.com:8080", "http://photos.example.com:8080"),
        ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
    ],
)
def test_a_public_address_is_written_as_browsers_write_it(text: str, site: str) -> None:
    assert resolved({"public_url": text}).settings.public_url == site


@pytest.mark.parametrize(
    "text",
    [
        "photos.example.com",
        "ftp://a",
        "https://",
        "https://a/b",
        "https://a?b",
        "https://u:p@a",
        "https://a:99999",
    ],
)
def test_a_public_address_is_a_site_and_nothing_more(text: str) -> None:
    with pytest.raises(IraasError, match="public_url"):
        resolved({"public_url": text})
