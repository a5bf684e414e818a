"""CSV, references and platforms against Go (details: ``test_details``), over the tables of ``tools/cmd/valuevectors``."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pybuildkit import csvattrs
from pybuildkit.errors import ConfigError
from pybuildkit.platforms import Platform
from pybuildkit.references import Reference

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests" / "vectors"
TABLES = ("csv", "references", "platforms", "sources", "statuses", "remotes")


def load(name: str) -> Any:
    return json.loads(gzip.decompress((VECTORS / f"{name}.json.gz").read_bytes()))


def test_csv_is_read_as_go_reads_it() -> None:
    """B17, B25, B26: go-csvvalue."""
    cases = load("csv")
    assert len(cases) >= 1000
    for case in cases:
        try:
            fields = csvattrs.split(case["in"])
        except ConfigError:
            fields = None
        assert fields == case["out"], case["in"]


def test_references_are_read_as_go_reads_them() -> None:
    """distribution/reference: ParseNormalizedNamed, FamiliarString, TagNameOnly, ParseDockerRef."""
    cases = load("references")
    assert len(cases) >= 1000
    for case in cases:
        text = case["in"]
        try:
            ref = Reference.parse(text)
        except ConfigError:
            assert not case["ok"], text
            continue
        assert case["ok"], text
        assert str(ref) == case["full"], text
        assert ref.familiar == case["familiar"], text
        assert (ref.domain, ref.path, ref.tag, ref.digest) == tuple(
            case.get(k, "") for k in ("domain", "path", "tag", "digest")
        ), text
        assert str(ref.with_default_tag()) == case["tagged"], text
        assert str(ref.resolved()) == case["resolved"], text


def test_platforms_are_read_as_go_reads_them() -> None:
    """containerd/platforms: Parse, FormatAll, Format, Normalize."""
    table = load("platforms")
    host = Platform(table["host_os"], table["host_arch"])
    assert len(table["cases"]) >= 1000
    for case in table["cases"]:
        text = case["in"]
        try:
            platform = Platform.parse(text, host=host)
        except ConfigError:
            assert case["parsed"] is None, text
            continue
        assert case["parsed"] is not None, text
        assert platform == value(case["parsed"]), text
        assert (str(platform), platform.short) == (case["formatted"], case["short"]), text
        assert platform.normalized() == value(case["normalized"]), text


def value(case: dict[str, Any]) -> Platform:
    return Platform(case["os"], case["arch"], case["variant"], case["version"], tuple(case["features"]))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("go") is None, reason="needs Go, the tables' oracle")
def test_the_tables_are_what_the_generator_writes(tmp_path: Path) -> None:
    subprocess.run(
        ["go", "run", "./cmd/valuevectors", str(tmp_path)], cwd=ROOT / "tools", check=True, timeout=600
    )
    for name in TABLES:
        if name == "platforms" and Platform.host() != Platform("linux", "amd64"):
            continue  # half a platform is completed with the host's, and the kept table is of such a machine
        fresh = gzip.decompress((tmp_path / f"{name}.json.gz").read_bytes())
        kept = gzip.decompress((VECTORS / f"{name}.json.gz").read_bytes())
        assert fresh == kept, name
