"""``pybuildkit completion``: completion scripts, made from the parsers."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator

from pybuildkit._values import dataclass
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
    """Finds the place by the words that are no flags, then offers what the place's tables have.

    Bash takes ``--flag=value`` and ``unix:///path`` apart at ``=`` and ``:``, so a value may be several words.
    """
    words, flags, values, aliases, paths = [], [], [], [], []
    for place in places:
        offered = [*(c.name for c in place.commands), *place.choices]
        words.append(f'    ["{place.key}"]="{" ".join(offered)}"')
        flags.append(f'    ["{place.key}"]="{" ".join(name for flag in place.flags for name in flag.names)}"')
        if place.takes_paths:
            paths.append(f'"{place.key}"')
        for name, flag in _with_values(place):
            kind = " ".join(flag.choices) or ("@path" if flag.wants_path else "@any")
            values.append(f'    ["{place.key} {name}"]="{kind}"')
        aliases += [f'    ["{place.key} {alias}"]="{place.key} {name}"' for alias, name in _aliases(place)]
    lines = "\n".join
    return f"""# bash completion for {PROG}
_{PROG}() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" place="{PROG}" word wanted="" i
    local -A words=(
{lines(words)}
    )
    local -A flags=(
{lines(flags)}
    )
    local -A values=(
{lines(values)}
    )
    local -A aliases=(
{lines(aliases)}
    )
    for ((i = 1; i < COMP_CWORD; i++)); do
        word="$place ${{COMP_WORDS[i]}}"
        if [[ -n "${{values["$word"]+x}}" ]]; then
            if [[ "${{COMP_WORDS[++i]}}" == "=" ]] && ((i < COMP_CWORD)); then ((++i)); fi
            if ((i >= COMP_CWORD)); then wanted="${{values["$word"]}}"; fi
            while ((i < COMP_CWORD)) && [[ "${{COMP_WORDS[i + 1]}}" == [:=]* ]]; do
                if (((i += 2) >= COMP_CWORD)); then wanted="@any"; fi
            done
            continue
        fi
        word="${{aliases["$word"]-$word}}"
        if [[ -n "${{flags["$word"]+x}}" ]]; then place="$word"; fi
    done
    if [[ "$current" == "=" ]]; then current=""; fi
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
                f"                {'|'.join((c.name, *c.aliases))}) {_function((*place.words, c.name))} ;;"
                for c in place.commands
            )
            functions.append(
                f"{_function(place.words)}() {{\n    local context state state_descr line\n"
                f"    local -A opt_args\n    local -a commands=({described})\n"
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
    equals = "=" if name.startswith("--") else "+"
    return _quoted(f"*{name}{equals}[{about}]:{flag.metavar.lower()}:{wanted}")


def _fish(places: list[_Place]) -> str:
    """A line for each word and flag, with the place where it is offered."""
    values = " ".join(_quoted(f"{place.key} {name}") for place in places for name, _ in _with_values(place))
    known = " ".join(_quoted(place.key) for place in places)
    aliases = "".join(
        f"            case {_quoted(f'{place.key} {alias}')}\n                set place {_quoted(f'{place.key} {name}')}\n"
        for place in places
        for alias, name in _aliases(place)
    )
    lines = [
        f"""# fish completion for {PROG}
function __{PROG}_at --description 'Whether the words before the cursor lead to a place'
    set -l place {PROG}
    set -l is_value 0
    set -l words (commandline -opc)
    set -e words[1]
    for word in $words
        if test $is_value = 1
            set is_value 0
            continue
        end
        switch "$place $word"
            case {values}
                set is_value 1
            case {known}
                set place "$place $word"
{aliases}        end
    end
    test "$place" = "$argv"
end
complete -c {PROG} -f"""
    ]
    for place in places:
        start = f"complete -c {PROG} -n {_quoted(f'__{PROG}_at {place.key}')}"
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


def _with_values(place: _Place) -> Iterator[tuple[str, _Flag]]:
    """The names of flags that want a value."""
    return ((name, flag) for flag in place.flags if flag.metavar for name in flag.names)


def _aliases(place: _Place) -> Iterator[tuple[str, str]]:
    """Other names of commands, and the names that are offered."""
    return ((alias, command.name) for command in place.commands for alias in command.aliases)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
