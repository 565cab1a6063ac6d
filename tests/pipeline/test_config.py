from pathlib import Path

import pytest
import yaml

from concepts.errors import SettingsError
from pipeline.config import (
    RunSettings,
    Settings,
    dump_settings,
    field_descriptions,
    load_settings,
    parse_overrides,
    parse_settings,
)

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
    ("override", "message"),
    [
        ("trainng.plain_epochs=1", "did you mean 'training'"),
        ("training.alignment.evry=3", "did you mean 'every'"),
        ("data.phantom.shortcut.x=1", "Keys here: artefact, diagnosis, strength"),
        ("seed=abc", "seed"),
        ("data.source=foo", "'phantom', 'isic2018' or 'isic'"),
        ("data.split.test=0.9", "together below 1"),
        ("training.batch_size=1", "greater than or equal to 2"),
        ("explanation.permutations=3", "greater than or equal to 20"),
        ("nonsense", "expected key=value"),
        ("seed.x=1", "seed: Input should be a valid integer"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(file, override, message):
    with pytest.raises(SettingsError) as error:
        load_settings(file, [override])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_or_broken_file_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="there is no such settings file"):
        load_settings(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(SettingsError, match="found list"):
        load_settings(tmp_path / "list.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    with pytest.raises(SettingsError, match="is not YAML"):
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


def groups(group=RunSettings):
    """Every group of settings, from the outermost."""
    yield group
    for field in group.model_fields.values():
        for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, Settings):
                yield from groups(kind)


def test_every_setting_is_described():
    undescribed = [
        f"{group.__name__}.{name}"
        for group in groups()
        for name in group.model_fields
        if not field_descriptions(group).get(name, "").endswith(".")
    ]
    assert undescribed == []
    assert len({group.__name__ for group in groups()}) == 15


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.whitened_from=auxiliary"], "auxiliary.epochs is 0"),
        (["data.split.validation=0"], "above 0 and together below 1"),
        (["data.split.validation=0.5", "data.split.test=0.5"], "above 0 and together below 1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(overrides, message):
    with pytest.raises(SettingsError, match=message):
        parse_overrides(overrides)


def test_what_is_next_to_a_contradiction_is_allowed():
    parse_overrides(["training.whitened_from=auxiliary", "training.auxiliary.epochs=1"])
    parse_overrides(["data.split.validation=0.5", "data.split.test=0.49"])


def test_an_override_of_concepts_names_the_release():
    assert parse_overrides(["concepts=dermoscopy@2"]).concepts.release == Path("dermoscopy@2")


def test_an_empty_value_is_none_and_an_empty_file_the_defaults(tmp_path):
    assert parse_overrides(["model.layer="]).model.layer is None
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert load_settings(tmp_path / "empty.yaml") == RunSettings()


def test_a_group_cannot_be_reached_through_a_value():
    with pytest.raises(SettingsError, match="seed is a value, not a group of settings"):
        parse_overrides(["seed=1", "seed.x=2"])
    with pytest.raises(SettingsError, match="the value is not YAML"):
        parse_overrides(["name=[1"])
