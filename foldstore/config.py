"""Configuration: argument > FOLDSTORE_* > foldstore.toml here > the user's file > default, in one model."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from foldstore.errors import UsageError, did_you_mean

_FILES = [Path("~/.config/foldstore/foldstore.toml").expanduser(), Path("foldstore.toml")]
# At least a megabyte, in units that DuckDB knows.
_MEMORY = r"^0*[1-9]\d{0,6}(\.\d{1,3})?\s?[MGT]i?B$"


class Settings(BaseSettings):
    """What can be set.

    Attributes
    ----------
    author : str or None
        Who commits; the user of the operating system unless set.
    catalog_url : SecretStr or None
        A PostgreSQL URL for the catalog; a SQLite file in the store's folder unless set.
    sql_memory_limit : str or None
        What SQL may use, such as ``2GB``; half of the machine's memory unless set.
    sql_threads : int or None
        How many threads a query may use.
    read_only : bool
        Whether stores are opened to be read only.
    online_store : SecretStr or None
        A Redis URL for features that several machines look up: pushed rows, and those of versions, for hosts without
        the folder. Unless set, pushed rows are in a file in the store's folder.
    seal_key_file : pathlib.Path or None
        A file with the key that sealed labels are enciphered with.
    token : SecretStr or None
        What a server is asked with, where the store is one.
    token_file : pathlib.Path or None
        A file with the token.
    """

    model_config = SettingsConfigDict(env_prefix="FOLDSTORE_", extra="forbid", toml_file=_FILES)

    author: str | None = None
    catalog_url: SecretStr | None = None
    sql_memory_limit: str | None = Field(default=None, pattern=_MEMORY)
    sql_threads: int | None = Field(default=None, ge=1, le=1024)
    read_only: bool = False
    online_store: SecretStr | None = None
    seal_key_file: Path | None = None
    token: SecretStr | None = None
    token_file: Path | None = None

    def read_token(self) -> str | None:
        """Return the token, from its file unless it is set itself.

        Raises
        ------
        UsageError
            When the file cannot be read.
        """
        if self.token is not None or self.token_file is None:
            return None if self.token is None else self.token.get_secret_value()
        try:
            return self.token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"The file of the token cannot be read: {type(error).__name__}.",
                hint="FOLDSTORE_TOKEN_FILE names it.",
                code="invalid-setting",
            ) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the base class names it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the base class names it
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Say which source comes before which."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(**given: Any) -> Settings:
    """Read the settings; values given here come before every other source.

    Raises
    ------
    UsageError
        When a value does not fit, a file has an unknown key, or is not TOML.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        hint = did_you_mean(name, Settings.model_fields) if first["type"] == "extra_forbidden" else None
        raise UsageError(f"Setting {name!r}: {first['msg']}.", hint=hint, code="invalid-setting") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError, RecursionError) as error:
        raise UsageError(
            f"A file of settings cannot be read: {' '.join(str(error).split())}.",
            hint=f"Mend or remove it: {' or '.join(str(file) for file in _FILES if _may_be_there(file))}.",
            code="invalid-setting",
        ) from error


def _may_be_there(file: Path) -> bool:
    try:
        return file.exists()
    except OSError:  # in a folder that this user may not enter: HOME is that of another
        return True
