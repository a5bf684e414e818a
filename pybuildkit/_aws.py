"""What AWS' own tools would use: variables, else the profile in the shared files."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path

from pybuildkit.errors import ConfigError

__all__ = ["s3_defaults"]

_PLACES = (
    ("bucket", ("AWS_BUCKET",), ""),
    ("region", ("AWS_REGION", "AWS_DEFAULT_REGION"), "region"),
    ("endpoint_url", ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"), "endpoint_url"),
)
"""An attribute of the cache, the variables that give it, and its key in a profile."""

_CREDENTIALS = ("access_key_id", "secret_access_key", "session_token")


def s3_defaults(environ: Mapping[str, str]) -> dict[str, str]:
    """Attributes of an S3 cache by the variables and files that AWS' own tools read.

    Credentials come from one place, never in parts. There are none when the profile gets its keys elsewhere: by single
    sign-on, a role or a process.

    Raises:
        ConfigError: ``$AWS_PROFILE`` names a profile that is not there, or a file can not be read.
    """
    profile = _read_profile(environ)
    found = {}
    for attribute, variables, key in _PLACES:
        value = next((environ[name] for name in variables if environ.get(name)), profile.get(key))
        if value:
            found[attribute] = value
    variables_too = {key: environ.get(f"AWS_{key.upper()}") for key in _CREDENTIALS}
    for source in (variables_too, {key: profile.get(f"aws_{key}") for key in _CREDENTIALS}):
        if source["access_key_id"] and source["secret_access_key"]:
            found |= {key: value for key, value in source.items() if value}
            break
    return found


def _read_profile(environ: Mapping[str, str]) -> dict[str, str]:
    """The profile in use: ``$AWS_PROFILE``, else ``default``. The credentials file wins over the other."""
    named = environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE")
    profile = named or "default"
    places = (
        ("AWS_CONFIG_FILE", "config", profile if profile == "default" else f"profile {profile}"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials", profile),
    )
    found: dict[str, str] = {}
    there = False
    for variable, name, section in places:
        path = environ.get(variable) or (environ.get("HOME") and f"{environ['HOME']}/.aws/{name}")
        values = _section(Path(path).expanduser(), section) if path else None
        if values is not None:
            there = True
            found |= {key: value for key, value in values.items() if value}
    if named and not there:
        raise ConfigError(f"$AWS_PROFILE names the profile {named!r}, which AWS' shared files do not have")
    return found


def _section(path: Path, name: str) -> Mapping[str, str] | None:
    parser = configparser.RawConfigParser(default_section="\0", strict=False, allow_no_value=True)
    try:
        parser.read_string(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"AWS' file {str(path)!r} can not be read: {type(exc).__name__}") from None
    except configparser.Error as exc:
        # Not its text, which quotes the line: it may be a key.
        raise ConfigError(f"AWS' file {str(path)!r} can not be read: {type(exc).__name__}") from None
    return parser[name] if parser.has_section(name) else None
