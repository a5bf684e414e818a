"""Questions to the Dockerfile frontend, with buildx's answers as the measure (V77 to V80)."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from pybuildkit import AsyncClient, Client
from pybuildkit.cli import main
from pybuildkit.errors import ConfigError, FrontendError
from pybuildkit.fsutil import MemoryTree
from tests.conftest import find_tool

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

Buildx = Callable[..., "subprocess.CompletedProcess[str]"]

DOCKERFILES = {
    "plain": "FROM busybox\nRUN echo hi\n",
    "stages": "FROM busybox AS base\nFROM base AS test\nRUN true\nFROM base\nCOPY --from=test /bin/sh /sh\n",
    "lower case": "from busybox\nrun echo hi\nCMD echo hi\n",
    "stage names": "FROM busybox AS Base\nFROM scratch AS scratch\nCOPY --from=Base /bin/sh /\n",
    "arguments": (
        "# TAG which tag\nARG TAG=latest\nFROM busybox:${TAG} AS main\n# VOLUME how loud\nARG VOLUME=3\nARG NAME\n"
        "ENV V=$VOLUME\nRUN echo $UNDEFINED $NAME\n"
    ),
    "mounts": (
        "FROM busybox AS out\n"
        "RUN --mount=type=secret,id=token,required --mount=type=secret,id=maybe echo\n"
        "RUN --mount=type=ssh --mount=type=ssh,id=deploy,required --mount=type=cache,target=/c,id=cc echo\n"
    ),
    "descriptions": (
        "# out makes the program\nFROM busybox AS out\n# test runs the tests\n"
        "FROM --platform=linux/amd64 busybox AS test\nMAINTAINER nobody\n"
    ),
    "heredoc": "FROM busybox\nRUN <<EOF\necho one\necho two\nEOF\nCOPY <<-one.txt <<two.txt /\n\tx\none.txt\ny\ntwo.txt\n",
    "secrets in the open": 'FROM busybox\nARG PASSWORD=x\nENV API_TOKEN=y\nLABEL key value\nEXPOSE 80/TCP\nWORKDIR rel\nCMD ["a"]\nCMD ["b"]\n',
    "windows ends and blanks": "FROM busybox\r\n\r\nRUN echo a && \\\r\n\r\n    echo b\r\nENTRYPOINT exec top\r\n",
    "checks set": "# check=skip=StageNameCasing;error=true\nFROM busybox AS Base\nrun echo\n",
    "no such stage": "FROM busybox AS one\nCOPY --from=missing /x /x\n",
}
ONLY_CHECKED = ("checks set", "no such stage")
"""Both tools have no other answer for these than an error."""

BROKEN = "FROM busybox\nRUNN echo\n"

QUESTIONS = {"check": "check", "outline": "outline", "targets": "targets", "describe": "subrequests.describe"}


@pytest.fixture(scope="module")
def buildx(buildkitd: Any, tmp_path_factory: pytest.TempPathFactory) -> Buildx:
    """``buildx build`` with the daemon of the tests as its builder."""
    binary = find_tool("buildx")
    if binary is None:
        pytest.skip("buildx is not there; run 'make tools'")
    home = tmp_path_factory.mktemp("buildx")
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "BUILDX_CONFIG": str(home / "buildx")}
    subprocess.run(
        [binary, "create", "--name", "daemon", "--driver", "remote", buildkitd.address],
        env=env,
        check=True,
        capture_output=True,
    )

    def build(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(binary), "build", "--builder", "daemon", "--progress", "quiet", *words]
        done = subprocess.run(command, env=env, capture_output=True, timeout=60, check=False)
        return subprocess.CompletedProcess(
            command, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return build


def folder(tmp_path: Path, dockerfile: str) -> Path:
    (tmp_path / "Dockerfile").write_bytes(dockerfile.encode())
    return tmp_path


def settled(text: str) -> Any:
    """A lint's JSON without what is another one each time: the session's id in the graph of its file, and digests."""
    document = json.loads(text)
    for source in document["sources"]:
        definition = source["definition"]
        local, last = (base64.b64decode(op) for op in definition["def"])
        definition["def"] = [re.sub(rb"[0-9a-z]{25}", b"session", local), last[:10]]
        definition["metadata"] = sorted(json.dumps(value) for value in definition["metadata"].values())
        definition["Source"] = list(definition["Source"]["locations"].values())
    return document


@pytest.mark.parametrize("name", DOCKERFILES)
async def test_answers_are_those_of_buildx(
    buildkit: AsyncClient, buildx: Buildx, tmp_path: Path, name: str
) -> None:
    """JSON to the byte (but for a session's id), texts to the letter, and the exit code."""
    context = folder(tmp_path, DOCKERFILES[name])
    for method, call in QUESTIONS.items():
        if (method == "describe" and name != "plain") or (method != "check" and name in ONLY_CHECKED):
            continue
        theirs = await to_thread.run_sync(buildx, f"--call={call},format=json", str(context))
        shown = await to_thread.run_sync(buildx, f"--call={call}", str(context))
        ours: Any = await getattr(buildkit, method)(context)
        if method == "check":
            assert settled(ours.answer.json) == settled(theirs.stdout), theirs.stderr
            assert ours.answer.json.count("\n") + 1 == theirs.stdout.count("\n")
            text = ours.text(str(context / "Dockerfile"))
            if ours.error is not None:
                assert (
                    shown.stderr.removeprefix("ERROR: ").strip()
                    == ours.error_text(str(context / "Dockerfile")).strip()
                )
                text += "\n" if ours.warnings else ""
            assert sorted(text.split("\n\n")) == sorted(shown.stdout.split("\n\n"))
            assert (ours.answer.status_code or int(ours.error is not None)) == theirs.returncode
        else:
            if name == "mounts":  # the frontend's order of these is another one each time
                assert sorted((ours.answer.json + "\n").split()) == sorted(theirs.stdout.split())
                assert sorted(ours.text().split("\n")) == sorted(shown.stdout.split("\n"))
                continue
            assert ours.answer.json + "\n" == theirs.stdout, theirs.stderr
            assert ours.text() == shown.stdout
            assert ours.answer.status_code == theirs.returncode == 0


async def test_what_a_check_finds(buildkit: AsyncClient, tmp_path: Path) -> None:
    context = folder(tmp_path, DOCKERFILES["stage names"])
    lint = await buildkit.check(context)
    assert not lint.ok
    rules = {warning.rule for warning in lint.warnings}
    assert {"StageNameCasing", "ReservedStageName"} <= rules
    first = next(w for w in lint.warnings if w.rule == "StageNameCasing")
    assert first.detail == "Stage name 'Base' should be lowercase"
    assert first.url.startswith("https://")
    assert first.place is not None
    assert first.place.line == 1
    assert lint.sources[first.place.index].filename == "Dockerfile"
    good = await buildkit.check(MemoryTree({"Dockerfile": DOCKERFILES["plain"]}))
    assert good.ok
    assert good.text() == "Check complete, no warnings found.\n"


async def test_what_a_target_takes(buildkit: AsyncClient, tmp_path: Path) -> None:
    context = folder(tmp_path, DOCKERFILES["arguments"])
    outline = await buildkit.outline(context, build_args={"VOLUME": "11"})
    found = {argument.name: (argument.value, argument.description) for argument in outline.args}
    assert found["VOLUME"] == ("11", "how loud")
    assert found["TAG"][0] == "latest"
    assert outline.name == "main"
    (tmp_path / "Dockerfile").write_text(DOCKERFILES["mounts"])
    outline = await buildkit.outline(context)
    assert {(secret.name, secret.required) for secret in outline.secrets} == {
        ("token", True),
        ("maybe", False),
    }
    assert {(agent.name, agent.required) for agent in outline.ssh} == {("default", False), ("deploy", True)}
    assert outline.sources == (DOCKERFILES["mounts"].encode(),)


async def test_what_can_be_built_and_asked(buildkit: AsyncClient, tmp_path: Path) -> None:
    context = folder(tmp_path, DOCKERFILES["stages"])
    targets = await buildkit.targets(context)
    assert [(t.name, t.base, t.default) for t in targets.targets] == [
        ("base", "busybox", False),
        ("test", "base", False),
        ("", "base", True),
    ]
    description = await buildkit.describe(context)
    names = [request.name for request in description.requests]
    assert names == ["frontend.outline", "frontend.targets", "frontend.subrequests.describe"]
    assert description.requests[0].options[0].name == "target"


async def test_nothing_is_built(buildkit: AsyncClient, tmp_path: Path) -> None:
    context = folder(tmp_path, f"FROM busybox\nRUN echo {tmp_path}\n")
    names: list[str] = []
    await buildkit.outline(
        context, progress=lambda batch: names.extend(vertex.name for vertex in batch.vertexes)
    )
    assert any("load build definition" in name for name in names)
    assert not any("RUN" in name for name in names)


async def test_questions_that_can_not_be_answered(buildkit: AsyncClient, tmp_path: Path) -> None:
    context = folder(tmp_path, BROKEN)
    lint = await buildkit.check(context)
    assert lint.error is not None
    assert "RUNN" in lint.error.message
    assert ">>> RUNN echo" in lint.error_text()
    assert not lint.ok
    for question in (buildkit.outline, buildkit.targets):
        with pytest.raises(FrontendError, match="RUNN") as caught:
            await question(context)
        assert "line 2" in str(caught.value)
    folder(tmp_path, DOCKERFILES["plain"])
    with pytest.raises(FrontendError, match=r"frontend\.nonsense"):
        await buildkit.ask("frontend.nonsense", context)
    with pytest.raises(FrontendError, match="nowhere"):
        await buildkit.outline(context, target="nowhere")
    with pytest.raises(ConfigError, match="outputs="):
        await buildkit.check(context, outputs="type=local,dest=x")
    with pytest.raises(ConfigError, match="tags="):
        await buildkit.check(context, tags="x")
    with pytest.raises(TypeError, match="tarket"):
        await buildkit.check(context, tarket="x")  # type: ignore[call-arg]


def test_the_blocking_twin(buildkit_client: Client, tmp_path: Path) -> None:
    context = folder(tmp_path, DOCKERFILES["stages"])
    assert buildkit_client.check(context).ok
    assert len(buildkit_client.targets(context).targets) == 3
    assert buildkit_client.outline(context, target="test").name == "test"
    assert buildkit_client.describe(context).requests
    assert buildkit_client.ask("frontend.targets", context).json


@pytest.mark.parametrize("name", ["lower case", "plain", "no such stage"])
def test_the_command_line(
    buildkitd: Any, buildx: Buildx, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """``build --check`` and ``--call`` print what buildx prints, and end as it does."""
    context = folder(tmp_path, DOCKERFILES[name])

    def ours(*words: str) -> tuple[int, str]:
        code = main(["--addr", buildkitd.address, "build", str(context), "--progress", "quiet", *words])
        return code, capsys.readouterr().out

    for words in (
        ("--check",),
        ("--call", "outline"),
        ("--call=targets",),
        ("--call=targets,format=json",),
        ("--call=outline,format=json",),
        ("--call=check,ignorestatus=true",),
        ("--call=subrequests.describe",),
    ):
        theirs = buildx(*words, str(context))
        code, printed = ours(*words)
        assert sorted(printed.split("\n\n")) == sorted(theirs.stdout.split("\n\n")), words
        assert code == theirs.returncode, words
    code, printed = ours("--call=check,format=json", "-t", "x", "-o", "type=local,dest=nowhere")
    assert settled(printed) == settled(buildx("--call=check,format=json", str(context)).stdout)
    assert not Path("nowhere").exists()


def test_the_command_line_says_what_is_wrong(
    buildkitd: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    context = folder(tmp_path, BROKEN)
    for call in ("", "a,b", "check,format=xml", "check,colour=red", "check,ignorestatus=perhaps"):
        assert main(["--addr", buildkitd.address, "build", str(context), f"--call={call}"]) != 0
        assert "--call" in capsys.readouterr().err
    assert main(["--addr", buildkitd.address, "build", str(context), "--check", "--progress=quiet"]) == 1
    assert "RUNN" in capsys.readouterr().err
