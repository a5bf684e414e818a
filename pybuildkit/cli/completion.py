"""``pybuildkit completion``: completion scripts, made from the parsers."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pybuildkit.cli.arguments import PROG, leaves, parser_of
from pybuildkit.cli.commands import COMMANDS, Command

DESCRIPTION = "Print a completion script for a shell."
EXAMPLES = """examples:
  pybuildkit completion bash > /etc/bash_completion.d/pybuildkit
  pybuildkit completion zsh > ~/.zfunc/_pybuildkit
  pybuildkit completion fish > ~/.config/fish/completions/pybuildkit.fish
"""

_PATHS = re.compile(r"FILE|DIR|SOURCE")


@dataclass(frozen=True, slots=True)
class _Flag:
    """A flag: its names, what it wants, what can be said of it."""

    names: tuple[str, ...]
    metavar: str
    choices: tuple[str, ...]
    help: str

    @property
    def wants_path(self) -> bool:
        return bool(_PATHS.search(self.metavar))


@dataclass(frozen=True, slots=True)
class _Place:
    """What may follow some words."""

    words: tuple[str, ...]
    commands: tuple[Command, ...]
    flags: tuple[_Flag, ...]
    choices: tuple[str, ...] = ()
    takes_paths: bool = False

    @property
    def key(self) -> str:
        return " ".join((PROG, *self.words))


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), metavar="SHELL", help="bash, zsh or fish")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[args.shell](list(_places())), end="")
    return 0


def _places() -> Iterator[_Place]:
    """Each point of a command line: behind the program, behind a group, behind a command."""
    yield _Place((), _shown(COMMANDS), _flags(parser_of(Command(PROG, "", commands=COMMANDS), [PROG])))
    for command in COMMANDS:
        if command.commands:
            parser = parser_of(command, [PROG, command.name])
            yield _Place((command.name,), _shown(command.commands), _flags(parser))
    for words, command in leaves():
        if not command.hidden:
            parser = parser_of(command, [PROG, *words])
            positional = [a for a in _actions(parser) if not a.option_strings]
            choices = tuple(str(c) for a in positional for c in a.choices or ())
            paths = any(_PATHS.search(str(a.metavar)) for a in positional)
            yield _Place(words, (), _flags(parser), choices, paths)


def _shown(commands: Iterable[Command]) -> tuple[Command, ...]:
    return tuple(c for c in commands if not c.hidden)


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions  # noqa: SLF001 - argparse has no other way to look at a parser


def _flags(parser: argparse.ArgumentParser) -> tuple[_Flag, ...]:
    return tuple(
        _Flag(
            names=tuple(action.option_strings),
            metavar="" if action.nargs == 0 else str(action.metavar or "VALUE"),
            choices=tuple(str(choice) for choice in action.choices or ()),
            help=(action.help or "").replace("%%", "%"),
        )
        for action in _actions(parser)
        if action.option_strings
    )


def _bash(places: list[_Place]) -> str:
    """Finds the place by the words that are no flags, then offers what the place's tables have."""
    words, flags, with_value, values, paths = [], [], [], [], []
    for place in places:
        offered = [*(c.name for c in place.commands), *place.choices]
        words.append(f'    ["{place.key}"]="{" ".join(offered)}"')
        flags.append(f'    ["{place.key}"]="{" ".join(name for flag in place.flags for name in flag.names)}"')
        if place.takes_paths:
            paths.append(f'"{place.key}"')
        for flag in place.flags:
            for name in flag.names if flag.metavar else ():
                kind = " ".join(flag.choices) or ("@path" if flag.wants_path else "@any")
                values.append(f'    ["{place.key} {name}"]="{kind}"')
                with_value.append(name)
    wanting = "|".join(dict.fromkeys(with_value))
    lines = "\n".join
    return f"""# bash completion for {PROG}
_{PROG}() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD - 1]}}" place="{PROG}" word i
    local -A words=(
{lines(words)}
    )
    local -A flags=(
{lines(flags)}
    )
    local -A values=(
{lines(values)}
    )
    for ((i = 1; i < COMP_CWORD; i++)); do
        word="${{COMP_WORDS[i]}}"
        case "$word" in
            {wanting}) ((i++)) ;;
            -*|=) ;;
            *)
                if [[ -n "${{flags["$place $word"]+x}}" ]]; then
                    place="$place $word"
                fi
                ;;
        esac
    done
    if [[ "$current" == "=" ]]; then current=""; fi
    if [[ "$previous" == "=" ]]; then previous="${{COMP_WORDS[COMP_CWORD - 2]}}"; fi
    local wanted="${{values["$place $previous"]}}"
    case "$wanted" in
        "") ;;
        @any) return ;;
        @path) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
        *) mapfile -t COMPREPLY < <(compgen -W "$wanted" -- "$current"); return ;;
    esac
    if [[ "$current" == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "${{flags["$place"]}}" -- "$current")
        return
    fi
    mapfile -t COMPREPLY < <(compgen -W "${{words["$place"]}}" -- "$current")
    case "$place" in
        {"|".join(paths) or '"?"'}) compopt -o filenames; mapfile -t -O "${{#COMPREPLY[@]}}" COMPREPLY < <(compgen -f -- "$current") ;;
    esac
}}
complete -F _{PROG} {PROG}
"""


def _zsh(places: list[_Place]) -> str:
    """A function for each place, each with what ``_arguments`` wants."""
    functions = []
    for place in places:
        specs = [_zsh_flag(name, flag) for flag in place.flags for name in flag.names]
        if place.commands:
            described = " ".join(_quoted(f"{c.name}:{c.summary}") for c in place.commands)
            specs.append("'1: :->command'")
            specs.append("'*:: :->arguments'")
            cases = "\n".join(
                f"                {c.name}) {_function((*place.words, c.name))} ;;" for c in place.commands
            )
            functions.append(
                f"{_function(place.words)}() {{\n    local state line\n    local -a commands=({described})\n"
                f"    _arguments -C {' '.join(specs)}\n    case $state in\n"
                f"        command) _describe command commands ;;\n        arguments)\n            case $line[1] in\n"
                f"{cases}\n            esac ;;\n    esac\n}}\n"
            )
            continue
        if place.choices:
            specs.append(f"'1: :({' '.join(place.choices)})'")
        elif place.takes_paths:
            specs.append("'*: :_files'")
        functions.append(f"{_function(place.words)}() {{\n    _arguments {' '.join(specs)}\n}}\n")
    body = "\n".join(functions)
    return f'#compdef {PROG}\n\n{body}\nif [ "$funcstack[1]" = "_{PROG}" ]; then\n    _{PROG} "$@"\nelse\n    compdef _{PROG} {PROG}\nfi\n'


def _function(words: tuple[str, ...]) -> str:
    return "_".join((f"_{PROG}", *words)).replace("-", "_")


def _zsh_flag(name: str, flag: _Flag) -> str:
    about = re.sub(r"([\[\]:])", r"\\\1", flag.help)
    if not flag.metavar:
        return _quoted(f"*{name}[{about}]")
    wanted = f"({' '.join(flag.choices)})" if flag.choices else "_files" if flag.wants_path else " "
    equals = "=" if name.startswith("--") else ""
    return _quoted(f"*{name}{equals}[{about}]:{flag.metavar.lower()}:{wanted}")


def _fish(places: list[_Place]) -> str:
    """A line for each word and flag, with the words that must be there before."""
    lines = [f"# fish completion for {PROG}", f"complete -c {PROG} -f"]
    for place in places:
        condition = _fish_condition(place)
        start = f"complete -c {PROG} -n {_quoted(condition)}"
        lines += [f"{start} -a {c.name} -d {_quoted(c.summary)}" for c in place.commands]
        if place.choices:
            lines.append(f"{start} -a {_quoted(' '.join(place.choices))}")
        if place.takes_paths:
            lines.append(f"{start} -F")
        for flag in place.flags:
            names = " ".join(f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in flag.names)
            wanted = ""
            if flag.choices:
                wanted = f" -x -a {_quoted(' '.join(flag.choices))}"
            elif flag.metavar:
                wanted = " -r -F" if flag.wants_path else " -x"
            lines.append(f"{start} {names}{wanted} -d {_quoted(flag.help)}")
    return "\n".join([*lines, ""])


def _fish_condition(place: _Place) -> str:
    if not place.words:
        return "__fish_use_subcommand"
    seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in place.words)
    if place.commands:
        names = " ".join(c.name for c in place.commands)
        return f"{seen}; and not __fish_seen_subcommand_from {names}"
    return seen


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
