"""What the doctor says of a set-up that cannot work."""

from pathlib import Path

from carrel import checks
from configs.settings import load_settings


def test_a_file_where_the_data_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("notes")
    found = checks.data_folder(load_settings(environment={"CARREL_DATA_DIR": str(tmp_path / "data")}), in_use=False)
    assert found.state is checks.State.PROBLEM
    assert "is not a folder" in found.found
    assert "chown" not in found.advice


def test_a_damaged_catalog_file_is_not_a_database_to_be_started(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_text("no database at all")
    found = checks.catalog(load_settings(environment={"CARREL_DATA_DIR": str(tmp_path)}), deep=False)
    assert found.state is checks.State.PROBLEM
    assert "restore a backup" in found.advice
