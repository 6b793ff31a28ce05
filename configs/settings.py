"""Settings: default.toml, then a TOML file, then CARREL_* variables; typed, frozen, read once.

A default has one home, `default.toml`, which is also its documentation. An unknown key or a wrong value is
refused by the name under which it was given, all of them at once.
"""

import json
import os
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from configs.errors import SettingsError

PREFIX = "CARREL_"
FILE_VARIABLE = "CARREL_CONFIG"
SERVER_VARIABLE = "CARREL_URL"  # for the command line: not a setting of the service, whose address is host and port
NO_SETTINGS = frozenset({FILE_VARIABLE, SERVER_VARIABLE})
MODELS = "models"
MODELS_VARIABLE = "CARREL_MODELS"


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, hide_input_in_errors=True)


class Api(Section):
    processes: int = Field(ge=0)
    head_seconds: float = Field(gt=0)
    stall_seconds: float = Field(gt=0)


class Parsing(Section):
    children: int = Field(ge=0)
    source_bytes: int = Field(gt=0)
    tokens: int = Field(gt=0)
    pages: int = Field(gt=0)
    expanded_bytes: int = Field(gt=0)
    expansion_ratio: int = Field(gt=1)
    archive_members: int = Field(gt=0)
    nesting: int = Field(gt=0)
    columns: int = Field(gt=0)
    memory_bytes: int = Field(ge=256 << 20)
    cpu_seconds: int = Field(gt=0)
    wall_seconds: int = Field(gt=0)


class Embedding(Section):
    provider: Literal["local", "openai", "hashed"]
    model: str = Field(min_length=1)
    dimensions: int = Field(ge=0)
    models_dir: Path
    aliases: str
    precision: Literal["int8", "fp32"]
    threads: int = Field(ge=0)
    base_url: str
    upstream_key: str = Field(repr=False)
    inputs_per_call: int = Field(ge=1, le=4096)
    tokens_per_call: int = Field(ge=1)
    concurrent_calls: int = Field(ge=1)
    timeout_seconds: float = Field(gt=0)
    give_up_after_seconds: float = Field(gt=0)
    cache_bytes: int = Field(ge=0)
    dollars_per_million_tokens: float = Field(ge=0)


class Reindex(Section):
    keep_seconds: int = Field(ge=0)


class Catalog(Section):
    url: str = Field(repr=False)
    pool_size: int = Field(ge=1)
    busy_timeout_seconds: int = Field(ge=1)


class Storage(Section):
    url: str
    endpoint: str
    region: str
    access_key_id: str
    secret_access_key: str = Field(repr=False)
    reserve_bytes: int = Field(ge=0)
    cache_bytes: int = Field(gt=0)


class Broker(Section):
    url: str = Field(repr=False)
    poll_seconds: float = Field(gt=0)
    visibility_seconds: int = Field(ge=5)


class Workers(Section):
    processes: int = Field(ge=0)
    files_per_claim: int = Field(ge=1, le=4096)
    bytes_per_claim: int = Field(ge=1)
    lease_seconds: int = Field(ge=3)
    sweep_seconds: int = Field(ge=1)
    upkeep_seconds: int = Field(ge=1)
    tasks_per_child: int = Field(ge=1)
    memory_per_child_kib: int = Field(ge=200_000)


class Access(Section):
    require_keys: bool
    pepper: str = Field(repr=False)


class Limits(Section):
    requests_per_minute: int = Field(ge=0)
    tokens_per_minute: int = Field(ge=0)
    uploads_per_minute: int = Field(ge=0)
    attaches_per_minute: int = Field(ge=0)
    bytes_stored: int = Field(ge=0)
    url: str = Field(repr=False)


class Search(Section):
    recall_target: float = Field(gt=0.5, le=1)
    code_from_rows: int = Field(ge=1000)
    most_results: int = Field(ge=1, le=1000)
    keyword_weight: float = Field(ge=0)


class Sources(Section):
    roots: str
    buckets: str
    hosts: str
    private_addresses: bool
    url_bytes: int = Field(ge=1)
    url_seconds: int = Field(ge=1)
    s3_endpoint: str
    s3_region: str
    s3_access_key_id: str
    s3_secret_access_key: str = Field(repr=False)
    max_removed_share: float = Field(ge=0, le=1)
    runs_kept: int = Field(ge=1)
    check_seconds: int = Field(ge=1)


class Settings(Section):
    data_dir: Path
    host: str = Field(min_length=1)
    port: int = Field(ge=0, le=65535)
    api_key: str = Field(repr=False)
    api: Api
    parsing: Parsing
    embedding: Embedding
    models: dict[str, Embedding]
    reindex: Reindex
    catalog: Catalog
    storage: Storage
    broker: Broker
    workers: Workers
    access: Access
    limits: Limits
    search: Search
    sources: Sources


Tree = dict[str, object]


def defaults() -> Tree:
    return tomllib.loads(resources.files("configs").joinpath("default.toml").read_text("utf-8"))


def load_settings(environment: Mapping[str, str] | None = None, file: Path | None = None) -> Settings:
    """Read everything once. `file` wins over the file that CARREL_CONFIG names."""
    environment = os.environ if environment is None else environment
    named = environment.get(FILE_VARIABLE, "")
    path = file or (Path(named) if named else None)
    tree = defaults()
    origins: dict[str, str] = {}
    problems: list[str] = []
    if path is not None:
        _merge(tree, _read(path), origins, str(path), problems)
    _merge_environment(tree, environment, origins, problems)
    _complete_models(tree, origins, problems)
    if problems:
        raise SettingsError("\n".join(problems))
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        lines = []
        for detail in error.errors(include_input=False, include_url=False):
            key = ".".join(str(part) for part in detail["loc"])
            lines.append(f"{_origin(origins, key)}: {key}: {detail['msg']}")
        raise SettingsError("\n".join(lines)) from None  # the cause would print a key's value


def variables() -> dict[str, tuple[str, ...]]:
    """Every environment variable understood, and the key that it sets."""
    names: dict[str, tuple[str, ...]] = {}
    for key, value in defaults().items():
        if key == MODELS:
            names[MODELS_VARIABLE] = (MODELS,)
            continue
        paths = [(key, inner) for inner in value] if isinstance(value, dict) else [(key,)]
        names |= {PREFIX + "_".join(path).upper(): path for path in paths}
    return names


def _read(path: Path) -> Tree:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: is not TOML: {error}") from error


def _merge(tree: Tree, given: Tree, origins: dict[str, str], source: str, problems: list[str]) -> None:
    for key, value in given.items():
        known = tree.get(key)
        if key == MODELS:
            _merge_models(tree, value, origins, source, problems)
        elif key not in tree:
            problems.append(f"{source}: {key}: there is no such setting")
        elif isinstance(known, dict):
            if not isinstance(value, dict):
                problems.append(f"{source}: {key}: must be a table, [{key}]")
                continue
            for inner, inner_value in value.items():
                if inner not in known:
                    problems.append(f"{source}: {key}.{inner}: there is no such setting")
                known[inner] = inner_value
                origins[f"{key}.{inner}"] = source
        else:
            tree[key] = value
            origins[key] = source


def _merge_environment(
    tree: Tree, environment: Mapping[str, str], origins: dict[str, str], problems: list[str]
) -> None:
    known = variables()
    for name in sorted(name for name in environment if name.startswith(PREFIX) and name not in NO_SETTINGS):
        path = known.get(name)
        if path is None:
            problems.append(f"{name}: there is no such setting")
            continue
        if path == (MODELS,):
            _merge_models(tree, _json(environment[name], name, problems), origins, name, problems)
            continue
        branch = tree
        for part in path[:-1]:
            inner = branch[part]
            assert isinstance(inner, dict)
            branch = inner
        branch[path[-1]] = environment[name]
        origins[".".join(path)] = name


def _json(text: str, name: str, problems: list[str]) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        problems.append(f"{name}: is not JSON: {error}")
        return {}


def _merge_models(tree: Tree, given: object, origins: dict[str, str], source: str, problems: list[str]) -> None:
    """Further models: a table of tables, each by the name of its model. Of one that is given twice, the last counts."""
    models = tree[MODELS]
    assert isinstance(models, dict)
    if not isinstance(given, dict):
        problems.append(f"{source}: {MODELS}: must hold a table for each model, [{MODELS}.NAME]")
        return
    for name, model in given.items():
        origins[f"{MODELS}.{name}"] = source
        if isinstance(model, dict):
            models[name] = model
        else:
            problems.append(f"{source}: {MODELS}.{name}: must be a table, [{MODELS}.{name}]")


def _complete_models(tree: Tree, origins: dict[str, str], problems: list[str]) -> None:
    """What a further model does not say, it takes from the defaults of [embedding], never from another model: its
    key and address are its own. No name stands for it unless it says so."""
    usual, models, default = defaults()["embedding"], tree[MODELS], tree["embedding"]
    assert isinstance(usual, dict)
    assert isinstance(models, dict)
    assert isinstance(default, dict)
    for name, given in models.items():
        source, at = origins[f"{MODELS}.{name}"], f"{MODELS}.{name}"
        problems += [f"{source}: {at}.{key}: there is no such setting" for key in given if key not in usual]
        if "model" in given:
            problems.append(f"{source}: {at}.model: the table's name is the model's: there is no such setting")
        if "provider" not in given:
            problems.append(f"{source}: {at}.provider: must be given")
        if name == default.get("model"):
            problems.append(f"{source}: {at}: this is the model of [embedding] already")
        models[name] = {**usual, "aliases": "", **given, "model": name}


def _origin(origins: dict[str, str], key: str) -> str:
    """Who gave a key, or the table that holds it."""
    while key:
        if key in origins:
            return origins[key]
        key = key.rpartition(".")[0]
    return "default.toml"
