from pathlib import Path

import pytest
import yaml

from concepts.errors import SettingsError
from pipeline.config import RunSettings, dump_settings, load_settings, parse_overrides, parse_settings

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "one.yaml"
    path.write_text("name: one\ntraining:\n  plain_epochs: 2\n")
    return path


def test_overrides_change_what_they_name_and_nothing_else(file):
    settings = load_settings(file, ["training.batch_size=8", "model.weights=w.safetensors"])
    assert (settings.training.plain_epochs, settings.training.batch_size) == (2, 8)
    assert settings.model.weights == Path("w.safetensors")
    assert settings.data == RunSettings().data


def test_written_settings_read_back_equal(file):
    settings = load_settings(file, ["data.phantom.shortcut={artefact: ruler, diagnosis: melanoma}"])
    assert parse_settings(yaml.safe_load(dump_settings(settings)), origin="dump") == settings


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("trainng.plain_epochs=1", "did you mean 'training'"),
        ("training.alignment.evry=3", "did you mean 'every'"),
        ("data.phantom.shortcut.x=1", "Known here: artefact, diagnosis, strength"),
        ("seed=abc", "seed"),
        ("data.source=foo", "'phantom', 'isic2018' or 'isic'"),
        ("data.split.test=0.9", "together below 1"),
        ("training.batch_size=1", "greater than or equal to 2"),
        ("explanation.permutations=3", "greater than or equal to 20"),
        ("nonsense", "expected key=value"),
        ("seed.x=1", "seed: Input should be a valid integer"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(file, override, said):
    with pytest.raises(SettingsError) as error:
        load_settings(file, [override])
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_or_broken_file_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="no such settings file"):
        load_settings(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(SettingsError, match="found list"):
        load_settings(tmp_path / "list.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    with pytest.raises(SettingsError, match="not YAML"):
        load_settings(tmp_path / "broken.yaml")


def test_settings_cannot_be_changed_after_reading(file):
    with pytest.raises(ValueError, match="frozen"):
        load_settings(file).seed = 3


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_experiment_in_configs_is_valid_and_says_what_it_is_for(path):
    load_settings(path)
    header = path.read_text(encoding="utf-8").split("\n\n")[0]
    assert header.startswith("# ")
    assert "dermaxis run" in header


def test_overrides_without_a_file():
    assert parse_overrides(["seed=4"]).seed == 4


def test_subspaces_are_set_by_name():
    written = parse_overrides(["concepts.subspaces.pigment_network={children: [typical_network], free: 1}"])
    owned = written.concepts.subspaces["pigment_network"]
    assert (owned.children, owned.free) == (("typical_network",), 1)
    with pytest.raises(SettingsError, match=r"unknown key 'concepts.subspaces.x.childs'; did you mean 'children'"):
        parse_overrides(["concepts.subspaces.x.childs=[y]"])
