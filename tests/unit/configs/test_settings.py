"""Settings: three sources, one answer, and a clear word about everything else."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from configs.errors import SettingsError
from configs.page import page
from configs.settings import Settings, defaults, load_settings, variables


def test_the_defaults_are_complete_and_valid() -> None:
    settings = load_settings({})
    assert settings.port == 8000
    assert settings.embedding.provider == "local"


def test_every_default_is_preceded_by_a_comment_with_its_reason() -> None:
    lines = Path("configs/default.toml").read_text("utf-8").splitlines()
    for number, line in enumerate(lines):
        if " = " in line and not line.startswith("#") and line.split(" = ")[0] != "secret_access_key":
            assert lines[number - 1].startswith("# "), f"{line!r} is not documented"


def test_file_beats_default_and_environment_beats_file(tmp_path: Path) -> None:
    file = tmp_path / "carrel.toml"
    file.write_text('port = 9000\nhost = "0.0.0.0"\n[embedding]\nprecision = "fp32"\n')
    settings = load_settings({"CARREL_CONFIG": str(file), "CARREL_PORT": "9001"})
    assert (settings.port, settings.host, settings.embedding.precision) == (9001, "0.0.0.0", "fp32")


def test_unknown_keys_are_refused_by_the_name_they_were_given_under_all_at_once(tmp_path: Path) -> None:
    file = tmp_path / "carrel.toml"
    file.write_text("prot = 1\n[embedding]\nmodle = 'x'\n[serch]\nk = 1\n")
    with pytest.raises(SettingsError) as caught:
        load_settings({"CARREL_EMBEDING_MODEL": "x"}, file)
    text = str(caught.value)
    for name in ("prot", "embedding.modle", "serch", "CARREL_EMBEDING_MODEL"):
        assert f"{name}: there is no such setting" in text


def test_a_wrong_value_names_the_variable_and_never_repeats_a_secret() -> None:
    with pytest.raises(SettingsError, match=r"CARREL_PORT: port: .*integer") as caught:
        load_settings({"CARREL_PORT": "sesame-secret"})
    assert "sesame-secret" not in str(caught.value)


def test_a_section_given_as_a_value_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "carrel.toml"
    file.write_text("embedding = 3\n")
    with pytest.raises(SettingsError, match=r"embedding: must be a table"):
        load_settings({}, file)


@pytest.mark.parametrize(("content", "message"), [(b"port = = 1", "is not TOML"), (b"\xff\xfe", "is not TOML")])
def test_a_broken_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "carrel.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=message):
        load_settings({}, file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml: cannot be read"):
        load_settings({"CARREL_CONFIG": str(tmp_path / "absent.toml")})


def test_no_two_keys_share_a_variable() -> None:
    keys = sum((len(value) or 1) if isinstance(value, dict) else 1 for value in defaults().values())
    assert len(variables()) == keys


def test_settings_cannot_be_changed_and_do_not_print_secrets() -> None:
    settings = load_settings({"CARREL_API_KEY": "sesame", "CARREL_EMBEDDING_UPSTREAM_KEY": "sesame"})
    assert isinstance(settings, Settings)
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1  # type: ignore[misc]  # the point of the test
    assert "sesame" not in repr(settings)


def test_the_configuration_page_is_the_one_that_the_defaults_give() -> None:
    written = Path("docs/configuration.md").read_text("utf-8")
    assert written == page(Path("configs/default.toml").read_text("utf-8"))
    for variable in variables():
        assert f"`{variable}`" in written


def test_further_models_are_tables_by_name_and_take_the_rest_from_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "carrel.toml"
    file.write_text(
        '[embedding]\nprecision = "fp32"\n[models."e5-large.v2"]\nprovider = "openai"\nbase_url = "http://x/v1"\n'
    )
    settings = load_settings({"CARREL_MODELS": '{"words": {"provider": "hashed", "dimensions": 8}}'}, file)
    assert list(settings.models) == ["e5-large.v2", "words"]
    first = settings.models["e5-large.v2"]
    assert (first.model, first.precision, first.aliases, first.upstream_key) == ("e5-large.v2", "int8", "", "")
    assert settings.models["words"].dimensions == 8


def test_what_is_wrong_with_a_further_model_is_told_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "carrel.toml"
    file.write_text(
        "[models.two]\ncolour = 1\n[models.four]\nprovider = 'hashed'\nmodel = 'x'\n"
        "[models.all-MiniLM-L6-v2]\nprovider = 'local'\n"
    )
    with pytest.raises(SettingsError) as caught:
        load_settings({"CARREL_MODELS": '{"five": 5}'}, file)
    text = str(caught.value)
    for line in (
        "models.two.colour: there is no such setting",
        "models.two.provider: must be given",
        "models.four.model: the table's name is the model's",
        "models.all-MiniLM-L6-v2: this is the model of [embedding] already",
        "CARREL_MODELS: models.five: must be a table",
    ):
        assert line in text
    with pytest.raises(SettingsError, match=r"CARREL_MODELS: is not JSON"):
        load_settings({"CARREL_MODELS": "{"})
    with pytest.raises(SettingsError, match=r"CARREL_MODELS: models\.one\.provider: .*'local'"):
        load_settings({"CARREL_MODELS": '{"one": {"provider": "locl"}}'})
