"""Platforms beyond Go's table: the host, lists, errors."""

from __future__ import annotations

import sys

import pytest

from pybuildkit import platforms
from pybuildkit.errors import ConfigError
from pybuildkit.platforms import Platform, join_platforms, parse_platforms


@pytest.mark.parametrize(
    ("system", "machine", "expected"),
    [
        ("linux", "x86_64", "linux/amd64"),
        ("linux", "aarch64", "linux/arm64"),
        ("linux", "armv6l", "linux/arm/v6"),
        ("linux", "i686", "linux/386"),
        ("linux", "riscv64", "linux/riscv64"),
        ("linux", "loongarch64", "linux/loong64"),
        ("darwin", "arm64", "darwin/arm64"),
        ("win32", "AMD64", "windows/amd64"),
        ("freebsd14", "amd64", "freebsd/amd64"),
    ],
)
def test_the_host_in_gos_words(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, expected: str
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platforms, "_machine", lambda: machine)
    platforms._host_platform.cache_clear()
    try:
        assert str(Platform.host()) == expected
    finally:
        monkeypatch.undo()
        platforms._host_platform.cache_clear()


def test_a_raspberry_pi_that_says_v7_and_means_v6(monkeypatch: pytest.MonkeyPatch) -> None:
    info = "processor\t: 0\nmodel name\t: ARMv6-compatible processor rev 7 (v6l)\n"
    monkeypatch.setattr(platforms, "_cpu_info", lambda: info.lower())
    assert platforms._arm_variant("armv7l") == "v6"
    monkeypatch.setattr(platforms, "_cpu_info", lambda: "model name : armv7 processor\n")
    assert platforms._arm_variant("armv7l") == "v7"


def test_lists_of_platforms() -> None:
    """V52: one attribute, comma-separated, normalised."""
    found = parse_platforms(["linux/amd64, linux/arm64/v8", Platform("linux", "arm"), "linux/aarch64"])
    assert join_platforms(found) == "linux/amd64,linux/arm64,linux/arm/v7"
    assert parse_platforms(None) == ()
    assert parse_platforms("local") == (Platform.host(),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("linux/*", "wildcards"),
        ("a/b/c/d", "too many parts"),
        ("", "not an operating system"),
        ("linux/", "is not a name"),
        ("toaster", "neither a known"),
        ("linux(%zz)/amd64", "hexadecimal"),
        ("linux(%ff)/amd64", "UTF-8"),
    ],
)
def test_errors_name_the_value(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        Platform.parse(text)
    assert repr(text) in str(caught.value)


def test_the_default_host_fills_the_missing_half() -> None:
    assert Platform.parse("linux", host=Platform("linux", "arm", "v6")) == Platform("linux", "arm", "v6")
    assert Platform.parse("linux", host=Platform("linux", "arm", "v7")) == Platform("linux", "arm")
    assert Platform.parse("amd64", host=Platform("plan9", "386")) == Platform("plan9", "amd64")
