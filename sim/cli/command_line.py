"""The one way in which a command starts and fails.

A command is a function. Its positional parameters are places (``DIR``), its keyword-only parameters are options,
written ``key=value`` on the command line and read as the parameter's type says. A command that runs for long is a
Hydra application over ``conf/`` instead, see ``run_hydra``. Whatever a user can mend ends in one sentence,
``error: ...``, and exit status 2.
"""

from __future__ import annotations

import difflib
import inspect
import os
import re
import select
import shlex
import sys
import types
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from sim.cli.choices import FORMER
from sim.cli.targets import wrong_target
from sim.errors import InputError
from sim.files import unwritable

_HELP = ("-h", "--help", "help")


@dataclass(frozen=True, kw_only=True)
class Command:
    """A subcommand.

    Attributes:
        run: The function behind it; its return value is the exit status, None being 0.
        help: The text that ``--help`` prints.
        raw: Whether ``run`` is handed the words as they are, a Hydra application for example.
    """

    run: Callable[..., int | None]
    help: str = ""
    raw: bool = False


def dispatch(program: str, usage: str, commands: Mapping[str, Command], *, interrupted: str = "interrupted") -> None:
    """Runs the subcommand that the command line names, and exits with its status.

    Args:
        program: The program as its user types it, ``python -m labeler``.
        usage: The text that ``--help`` prints, or no word at all.
        commands: The subcommands by their names.
        interrupted: The sentence after Ctrl-C.
    """
    words = sys.argv[1:]
    if not words or words[0] in _HELP:
        print(usage, end="")
        return
    warnings.showwarning = plain_warning
    with guarded(interrupted=interrupted):
        if words[0] not in commands:
            raise InputError(f"'{words[0]}' is no command; choose from {', '.join(commands)}")
        command = commands[words[0]]
        if not command.raw and set(_HELP[:2]) & set(words[1:]):
            print(command.help, end="")
            return
        sys.exit(command.run(words[1:]) if command.raw else call(command.run, words[1:], f"{program} {words[0]}"))


def run_command(
    program: str,
    usage: str,
    function: Callable[..., int | None],
    *,
    subcommands: Mapping[str, Command] | None = None,
) -> None:
    """Runs a command that does its work without a subcommand's name; exits where its status is not 0.

    Args:
        program: The program as its user types it, ``python -m plgp.report``.
        usage: The text that ``--help`` prints.
        function: See ``call``.
        subcommands: Other things that the command does, by their names.
    """
    words = sys.argv[1:]
    if words and words[0] in (subcommands or {}):
        dispatch(program, usage, subcommands or {})
        return
    if words and words[0] in _HELP:
        print(usage, end="")
        return
    warnings.showwarning = plain_warning
    with guarded():
        status = call(function, words, program)
        if status:
            sys.exit(status)


def plain_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Prints a warning as one line without the place in the code, in place of ``warnings.showwarning``."""
    print(f"warning: {message}", file=sys.stderr)


@contextmanager
def guarded(*, interrupted: str = "interrupted") -> Iterator[None]:
    """Turns what a user can mend into ``error: ...`` and exit status 2, and Ctrl-C into a sentence and 130."""
    status, sentence = 0, ""
    try:
        yield
    except KeyboardInterrupt:
        status, sentence = 130, interrupted
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            status = 128 + 13
        else:
            found = mendable(error)
            if found is None:
                raise
            status, sentence = 2, f"error: {found}"
    # Here the exception is gone, and with it the files that its frames held open: HDF5 crashes where it has to close
    # a file on a full disk while the interpreter ends.
    if sentence:
        print(sentence, file=sys.stderr)
    if status:
        raise SystemExit(status)


def _reader_is_gone() -> bool:
    """Whether nobody reads what is printed any more, as in ``... | head``; then nothing more is printed."""
    state = select.poll()
    state.register(sys.stdout.fileno(), 0)
    if not any(event & select.POLLERR for _, event in state.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def input_error(error: BaseException | None) -> InputError | None:
    """Returns the InputError behind an exception (Hydra wraps what a constructor raises), or None."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__
    return error


def mendable(error: BaseException) -> str | None:
    """Returns the sentence of an exception that a user can mend, or None: bad input, a wrong choice, a full disk."""
    found = input_error(error)
    if found is not None:
        return str(found)
    told = unwritable(error)
    if told is not None:
        return told
    if "omegaconf" not in sys.modules:
        return None
    from hydra.errors import HydraException, InstantiationException, OverrideParseException
    from omegaconf.errors import InterpolationKeyError, MissingMandatoryValue, OmegaConfBaseException
    from yaml import MarkedYAMLError

    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:  # a preset of one's own
        return (
            f"{error.problem_mark.name}, line {error.problem_mark.line + 1} is no YAML: {error.problem}; mend the file"
        )
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, (HydraException, OmegaConfBaseException)):
        cause = cause.__cause__
    if isinstance(cause, InstantiationException):
        return wrong_target(cause)
    if isinstance(cause, OverrideParseException):
        return _unread(str(cause.override))
    if cause is None:
        return None
    missing = re.search(r"Interpolation key '([^']+)'", str(cause))
    if isinstance(cause, InterpolationKeyError) and missing:
        return f"{cause.full_key} needs {missing[1]}, which is left out; give {missing[1].split('.')[0]}=..."
    if isinstance(cause, MissingMandatoryValue):
        return f"{cause.full_key} is not given; say {cause.full_key}=..."
    # What Hydra adds is about its own search path.
    return re.split(r" (?:Config search path|full_key|See https):?", " ".join(str(cause).split()))[0]


def _unread(word: str) -> str:
    """Returns the sentence of a word that Hydra cannot read: a text without quotes has ASCII letters and few signs."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    key, sign, value = word.partition("=")
    if not sign:
        return f"'{word}' is no setting; give key=value"
    try:
        OverridesParser.create().parse_overrides([f"{key}=1"])
    except OverrideParseException:
        return f"'{word}' cannot be read: '{key}' names no setting; give a name of ASCII letters, digits, _ and dots"
    if value[:1] in ("[", "{", "'", '"'):
        return f"'{word}' cannot be read; look at its brackets and quotes, and at signs in it that want quotes"
    escaped = re.sub(r'(\\*)("|\Z)', lambda m: m[1] * 2 + ("\\" + m[2] if m[2] else ""), value)  # Hydra's way
    told = shlex.quote(f'{key}="{escaped}"')
    open_ones = any(value.count(one) != value.count(other) for one, other in ("()", "[]", "{}"))
    text = "look at its brackets; if it is a text, " if open_ones else ""
    return f"'{word}' cannot be read; {text}put what follows {key}= in quotes, within the shell's own: {told}"


def call(function: Callable[..., int | None], words: Sequence[str], program: str) -> int:
    """Calls a command's function with what the command line says.

    Args:
        function: Its positional parameters are places, its keyword-only parameters options. Types that are
            understood: str, Path, int, float, bool, Literal, tuple[T, ...] (values with commas between), and
            each of them or None.
        words: The command line after the command's name: places first, then ``key=value``.
        program: The command as its user types it.

    Returns:
        The exit status.

    Raises:
        InputError: A place or a required option is missing, an option is unknown or of another type.
    """
    parameters = inspect.signature(function).parameters.values()
    hints = typing.get_type_hints(function)
    places = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    options = {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY}
    given = words[: len(places)]
    if len(given) < len(places) or any(re.match(r"-|\w+=", word) for word in given):
        names = " ".join(name.upper() for name in places)
        raise InputError(f"`{program}` needs {names}; `{program} --help` says more")
    values: dict[str, Any] = {}
    for word in words[len(places) :]:
        key, sign, text = word.partition("=")
        if not sign or key not in options:
            known = ", ".join(f"{name}=..." for name in options)
            close = (
                [FORMER.get(key, "")] if FORMER.get(key) in options else difflib.get_close_matches(key, options, n=1)
            )
            guess = f" (did you mean {close[0]}=?)" if close else ""
            cure = f"give {known}{guess}" if known else "leave it out"
            raise InputError(f"`{program}` does not know '{word}'; {cure}")
        values[key] = _value(hints[key], text, f"`{program}`: {key}")
    for name, option in options.items():
        if option.default is option.empty and name not in values:
            raise InputError(f"{name}= is missing; give {name}=... (`{program} --help` says more)")
    return function(*(_value(hints[n], w, n) for n, w in zip(places, given, strict=True)), **values) or 0


def _value(kind: Any, text: str, what: str) -> Any:
    """Returns a word as the type that a parameter names. Raises InputError."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        if text in ("", "null"):
            return None
        kind = next(k for k in typing.get_args(kind) if k is not types.NoneType)
    if typing.get_origin(kind) is tuple:
        parts = [part.strip() for part in text.strip("[]").split(",")]
        try:
            return tuple(_value(typing.get_args(kind)[0], part, what) for part in parts if part)
        except InputError as error:
            raise InputError(f"{error}, or several with commas between") from None
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        if text not in choices:
            raise InputError(f"{what} is '{text}'; give {' or '.join(choices)}")
        return text
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise InputError(f"{what} is '{text}'; give true or false")
        return text.lower() == "true"
    try:
        return kind(text)
    except ValueError:
        number = "a whole number" if kind is int else "a number"
        raise InputError(f"{what} is '{text}'; give {number}") from None
