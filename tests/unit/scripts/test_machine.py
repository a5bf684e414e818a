from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from scripts import prepare
from scripts.machine import azurite, debian, golang, tools
from scripts.machine.paths import ROOT, SetupError, fingerprint, run

GO_MOD = """module x

go 1.26.3

require (
\tgithub.com/moby/buildkit v0.32.2 // indirect
\tgithub.com/moby/buildkit-extra v9.9.9
)
"""


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_versions_are_read_from_go_mod() -> None:
    assert golang.required(GO_MOD) == (1, 26, 3)
    assert tools.version("github.com/moby/buildkit", GO_MOD) == "v0.32.2"


@pytest.mark.parametrize("read", [golang.required, lambda text: tools.version("nobody.invalid/x", text)])
def test_a_go_mod_without_them_is_an_error(read: object) -> None:
    assert callable(read)
    with pytest.raises(SetupError, match=r"tools/go\.mod"):
        read("module x\n")


@pytest.mark.parametrize(
    ("told", "version"),
    [("go1.26.8", (1, 26, 8)), ("go1.27", (1, 27)), ("go1.28rc1", (1, 28)), ("devel +abc", ())],
)
def test_the_version_of_a_go(tmp_path: Path, told: str, version: tuple[int, ...]) -> None:
    assert golang.version_of(script(tmp_path / "go", f"echo {told}")) == version


def test_every_tool_is_pinned_and_named_as_such() -> None:
    go_mod = (ROOT / "tools" / "go.mod").read_text()
    for tool in tools.PROGRAMS.values():
        assert tools.version(tool.module, go_mod)
        assert f"\t{tool.module}/{tool.package}\n" in go_mod


def test_a_program_that_is_there_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in debian.PROGRAMS:
        script(tmp_path / name, "")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(debian, "install", lambda packages: pytest.fail(f"would install {packages}"))
    debian.require(debian.PROGRAMS)


def test_without_root_the_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(debian, "SYSTEM_PATH", "")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(SetupError, match=r"runc \(buildkitd runs") as caught:
        debian.require(["runc", "busybox"])
    assert str(caught.value).endswith("sudo apt-get install busybox-static runc")


@pytest.mark.parametrize("brings", [True, False])
def test_root_on_debian_gets_them_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brings: bool
) -> None:
    calls, program = tmp_path / "calls", tmp_path / "tmux"
    effect = f"[ $1 = update ] || {{ echo > {program}; /bin/chmod 755 {program}; }}" if brings else ""
    script(tmp_path / "apt-get", f'echo "$@" >> {calls}\n{effect}')
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(debian, "SYSTEM_PATH", "")
    if brings:
        debian.require(["tmux"])
    else:
        with pytest.raises(SetupError, match="tmux is still missing"):
            debian.require(["tmux"])
    assert calls.read_text().splitlines() == ["update -qq", "install -y -qq --no-install-recommends tmux"]


def test_a_busybox_that_needs_a_loader_will_not_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "busybox").write_bytes(b"\x7fELF....\0/lib64/ld-linux-x86-64.so.2\0")
    (tmp_path / "busybox").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(debian, "SYSTEM_PATH", "")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(SetupError, match="busybox-static"):
        debian.require(["busybox"])
    (tmp_path / "busybox").write_bytes(b"\x7fELF....\0static")
    debian.require(["busybox"])


def test_a_fingerprint_knows_contents_and_words(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("a")
    first = fingerprint([file], "w")
    assert fingerprint([file], "w") == first
    assert fingerprint([file], "v") != first
    file.write_text("b")
    assert fingerprint([file], "w") != first


def test_every_need_is_known() -> None:
    for need in prepare.NEEDS.values():
        assert set(need.programs) <= set(debian.PROGRAMS)
        assert set(need.tools) <= set(tools.PROGRAMS)
        assert need.environment in ("", "run", "dev")
    assert prepare.NEEDS["demo"].tools == ("buildkitd",)


def test_an_unknown_need_tells_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare.main(["nonsense"]) == 2
    assert "prepare.py demo" in capsys.readouterr().err


def test_what_can_not_be_prepared_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(names: object) -> None:
        raise SetupError("no such luck")

    monkeypatch.setattr(debian, "require", refuse)
    assert prepare.main(["test"]) == 1
    assert capsys.readouterr().err == "prepare: no such luck\n"


def test_all_dependencies_are_pinned_and_nothing_names_a_host() -> None:
    text = (ROOT / "constraints.txt").read_text()
    pins = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.!+-]+", pin) for pin in pins)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for extra in project["project"]["optional-dependencies"].values():
        wanted += extra
    for group in project["dependency-groups"].values():
        wanted += [item for item in group if isinstance(item, str)]
    names = {normal(re.split(r"[^A-Za-z0-9_.-]", requirement)[0]) for requirement in wanted}
    assert names <= {normal(pin.partition("==")[0]) for pin in pins}


def test_a_command_that_fails_shows_what_it_said(capfd: pytest.CaptureFixture[str]) -> None:
    run(["/bin/sh", "-c", "echo fine"])
    with pytest.raises(SetupError, match=r"(?s)exit code 3 from: /bin/sh -c .*\nout\nerr"):
        run(["/bin/sh", "-c", "echo out; echo err >&2; exit 3"])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["demo", "protos"])
def test_without_root_a_daemon_is_refused_before_anything_is_built(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(tools, "build", lambda names: pytest.fail("builds"))
    assert prepare.main([name]) == 1
    assert f"{name} starts a buildkitd of its own, which needs root" in capsys.readouterr().err


def test_azurite_is_pinned_with_all_that_it_needs() -> None:
    pinned = json.loads((azurite.MODULE / "package.json").read_text())["dependencies"]
    lock = json.loads((azurite.MODULE / "package-lock.json").read_text())["packages"]
    assert lock[""]["dependencies"] == pinned
    assert all(entry["integrity"] for path, entry in lock.items() if path)


def test_azurite_starts_with_the_node_of_the_environment(tmp_path: Path) -> None:
    node = script(tmp_path / "a node", 'echo "$@"')
    program = script(tmp_path / "azurite-blob", "")
    program.write_text(azurite.launcher(node))
    told = subprocess.run([program, "--blobPort", "1 2"], capture_output=True, text=True, check=True).stdout
    assert told == f"{azurite.ENTRY} --blobPort 1 2\n"
