"""Small build contexts for the comparison with buildctl."""

from __future__ import annotations

from pathlib import Path

DOCKERFILES = {
    "Dockerfile": """\
# syntax-is-built-in
FROM busybox AS base
ARG WHO=nobody
RUN echo "hello $WHO" > /greeting && touch -d @1500000000 /greeting
FROM base AS tools
RUN mkdir -p /t/d && echo tool > /t/d/tool && chmod 750 /t/d/tool && ln -s d/tool /t/link
FROM scratch AS files
COPY --from=base /greeting /
COPY --from=tools /t /
COPY data /data
FROM scratch
COPY --from=base /greeting /
LABEL made.by=parity
CMD ["/greeting"]
""",
    "plain.Dockerfile": "FROM scratch\nARG TARGETARCH\nARG TARGETPLATFORM\nCOPY data /data\nLABEL arch=$TARGETARCH\n",
    "arch.Dockerfile": "FROM scratch\nARG TARGETARCH\nCOPY data/a /$TARGETARCH/a\n",
    "secret.Dockerfile": """\
FROM busybox AS work
RUN --mount=type=secret,id=token,required cat /run/secrets/token > /seen
FROM scratch
COPY --from=work /seen /
""",
    "steps.Dockerfile": """\
FROM busybox AS work
RUN hostname > /hostname; cat /etc/hosts | grep example.test > /hosts; df /dev/shm | tail -1 | awk '{print $2}' > /shm; \
 ulimit -n > /ulimit; ls /sys/class/net | tr '\\n' ' ' > /net
FROM scratch
COPY --from=work /hostname /hosts /shm /ulimit /net /
""",
    "unasked.Dockerfile": "FROM busybox\nRUN --mount=type=secret,id=token,required cat /run/secrets/token > /other\n",
    "named.Dockerfile": "FROM scratch\nCOPY --from=other /x /\n",
    "image.Dockerfile": "FROM other AS work\nRUN echo $PATH > /y\nFROM scratch\nCOPY --from=work /y /\n",
    "fails.Dockerfile": "FROM busybox\nRUN echo before; exit 7\n",
    "broken.Dockerfile": "FROM busybox\nRUM echo\n",
    "network.Dockerfile": "FROM busybox AS work\nRUN --network=host echo a > /x\nFROM scratch\nCOPY --from=work /x /\n",
    "insecure.Dockerfile": """\
# syntax-is-built-in
FROM busybox AS work
RUN --security=insecure echo a > /x
FROM scratch
COPY --from=work /x /
""",
    "lint.Dockerfile": "FROM busybox as work\nENV A 1\nFROM scratch\nCOPY --from=work /bin/busybox /\n",
    "epoch.Dockerfile": """\
FROM busybox AS work
ARG SOURCE_DATE_EPOCH
RUN echo "$SOURCE_DATE_EPOCH" > /epoch
FROM scratch
COPY --from=work /epoch /
""",
}


def make_contexts(folder: Path) -> Path:
    """Write the contexts; the main one is returned, the others are beside it."""
    context = folder / "ctx"
    (context / "data" / "sub").mkdir(parents=True)
    (context / "data" / "a").write_text("a")
    (context / "data" / "sub" / "b").write_text("b")
    (context / "data" / "left-out").write_text("ignored")
    (context / ".dockerignore").write_text("data/left-out\n")
    for name, text in DOCKERFILES.items():
        (context / name).write_text(text)
    other = folder / "other"
    other.mkdir()
    (other / "x").write_text("from another directory")
    sub = folder / "sub" / "deep"
    sub.mkdir(parents=True)
    (sub / "Dockerfile").write_text("FROM scratch\nCOPY f /\n")
    (sub / "f").write_text("deep")
    (folder / "token").write_text("s3cret")
    return context
