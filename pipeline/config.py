"""Settings of an experiment: typed, read from YAML, changed by ``key=value``.

One YAML file is one experiment. Every key has a type and a range; an unknown key is refused, and the error names the
known ones.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from concepts.errors import SettingsError
from pipeline.choices import (
    Activation,
    Balance,
    Baseline,
    Fit,
    FreeAxes,
    Objective,
    Placement,
    Precision,
    Schedule,
    Start,
)

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]


class Settings(BaseModel):
    """A group of settings: immutable, and closed to keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SplitSettings(Settings):
    """Shares of the cohort held out, by group."""

    validation: Fraction = 0.16
    test: Fraction = 0.2
    near_duplicate_bits: Annotated[int, Field(ge=0, le=32)] = 12
    """Largest Hamming distance between the 64-bit perceptual hashes of candidates; thumbnails decide among them."""

    @model_validator(mode="after")
    def leaves_something_to_train_on(self) -> Self:
        """Refuse shares that use up the cohort."""
        if not 0 < self.validation < 1 or not 0 < self.test < 1 or self.validation + self.test >= 1:
            raise ValueError("validation and test must each be above 0 and together below 1")
        return self


class ShortcutSettings(Settings):
    """An artefact tied to a diagnosis in all patients; without it the cohort is its counterpart, image by image."""

    artefact: str
    diagnosis: str
    strength: Fraction = 0.9
    """Probability of the artefact given the diagnosis; elsewhere it keeps its base rate."""


class PhantomSettings(Settings):
    """The generated cohort."""

    images: Count = 1800
    size: Annotated[int, Field(ge=64, le=512)] = 128
    """Side in pixels."""
    seed: int = 0
    shortcut: ShortcutSettings | None = None
    network_types: bool = False
    """Whether a pigment network is also typical (even) or atypical (uneven), half of them each: two concepts more."""


class DataSettings(Settings):
    """Which images, and how they are split and read."""

    source: Literal["phantom", "isic2018", "isic"] = "phantom"
    root: Path | None = None
    """Folder of the data set; for the phantom, where to generate it (default: the cache)."""
    limit: Count | None = None
    """Use only so many images, drawn with the seed, stratified by diagnosis; for trials."""
    diagnoses: tuple[str, ...] | None = None
    """Keep only these diagnoses; default: all that the source has."""
    cache: Path = Path("~/.cache/dermaxis")
    """Where decoded images lie, by content digest."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Processes that load images beside the one that trains."""
    max_pixels: Count = 100_000_000
    """Images with more pixels are refused."""
    split: SplitSettings = SplitSettings()
    phantom: PhantomSettings = PhantomSettings()


class SubspaceSettings(Settings):
    """What a concept owns beside its axis."""

    children: tuple[str, ...] = ()
    """Its sub-concepts, each with an axis; they are told apart among the images that show the concept."""
    free: Annotated[int, Field(ge=0)] = 0
    """Axes without a name for what else varies among the images that show it."""


class ConceptSettings(Settings):
    """Which concepts the axes are given to, and by which release."""

    release: Path | None = None
    """A frozen release: a JSON file, or ``NAME@VERSION`` in the store. Default: frozen from the source's own masks."""
    store: str | None = None
    """The concept store, a file or a PostgreSQL URL; default: ``DERMAXIS_STORE``, else the user's own."""
    names: tuple[str, ...] | None = None
    """Identifiers of the concepts to use, in axis order; default: all of the release."""
    unmarked_is_absent: bool = True
    """Whether an image in which a concept was not marked may serve as a (weak) negative."""
    subspaces: dict[str, SubspaceSettings] = {}
    """Concepts that own more than one axis, e.g. ``{pigment_network: {children: [typical_network], free: 1}}``."""
    minimum_positives: Count = 40
    """Concepts with fewer training positives are reported as not assessable."""

    @field_validator("store")
    @classmethod
    def keeps_no_password(cls, store: str | None) -> str | None:
        """Refuse a password: settings are written into every run folder."""
        if store is not None and "://" in store and urlsplit(store).password is not None:
            raise ValueError("a password must not stand in settings; give it by PGPASSWORD or ~/.pgpass")
        return store


class TransformSettings(Settings):
    """How images reach the network."""

    size: Annotated[int, Field(ge=32, le=1024)] = 224
    """Side of the square that the network sees, in pixels."""
    fit: Fit = Fit.SQUASH
    margin: Annotated[int, Field(ge=0)] = 16
    """Pixels more in the decoded image; training crops at random, evaluation at the centre, so scale is kept."""
    flips: bool = True
    right_angle_turns: bool = True
    brightness: Fraction = 0.1
    contrast: Fraction = 0.1
    saturation: Fraction = 0.1
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = 0.02


class ModelSettings(Settings):
    """The network, and where concept whitening goes."""

    architecture: str = "mobilenet_v1"
    width: Positive | None = None
    """Multiplies the channels of ``mobilenet_v1`` (its own: 0.75) and of the ResNets (1)."""
    weights: Path | None = None
    """A local safetensors or state-dict file; default: random initial weights."""
    frozen: tuple[str, ...] = ()
    """Modules that keep the weights and statistics that they came with, e.g. ``[stem, blocks.0]``."""
    layer: str | None = None
    """Module that concept whitening replaces or follows; default: the backbone's recommended one."""
    further_layers: tuple[str, ...] = ()
    """More modules that are whitened for the same concepts, to see how concepts evolve; figures are of ``layer``."""
    placement: Placement = Placement.INSERT
    activation: Activation = Activation.POOL_MAX
    turns: Literal[1, 2, 4] = 1
    """Quarter turns of each image over whose maps evaluation and explanation average (a lesion has no upright); 2: by
    half a turn. Training sees one at a time; exported networks too."""


class AlignmentSettings(Settings):
    """How axes are turned onto concepts."""

    schedule: Schedule = Schedule.EXACT
    objective: Objective = Objective.CONTRAST
    every: Count = 30
    """Diagnosis steps between two alignment steps (schedule ``paper``)."""
    shrinkage: Annotated[float, Field(ge=0.0)] = 0.0
    """How much directions of little variance count less in where axes point, relative to the mean variance; for deep
    layers with many channels and few images, e.g. 1. Whitening stays exact."""
    refinement_steps: Annotated[int, Field(ge=0)] = 0
    """Steps along Cayley curves after the closed form, for activations that are not linear (schedule ``exact``)."""


class ConceptLossSettings(Settings):
    """The optional loss by which the backbone, too, learns from the concepts."""

    weight: Annotated[float, Field(ge=0.0)] = 0.0
    """Weight of the image-level loss on the named activations; 0 turns it off."""
    region_weight: Annotated[float, Field(ge=0.0)] = 0.0
    """Weight of the position-level loss against the concepts' masks, where they exist; 0 turns it off."""


class AuxiliarySettings(Settings):
    """A network that learns diagnosis and concepts together through a concept head at the layer, without whitening.

    It is a baseline for the whitened one, and may be what that one starts from.
    """

    epochs: Annotated[int, Field(ge=0)] = 0
    """0: there is no such network."""
    from_plain: bool = False
    """Whether it goes on from the trained plain network; else it starts where that one did."""
    learning_rate: Positive = 1e-3
    weight: Annotated[float, Field(ge=0.0)] = 1.0
    """Weight of the image-level concept loss."""
    region_weight: Annotated[float, Field(ge=0.0)] = 0.5
    """Weight of the position-level concept loss."""


class TrainingSettings(Settings):
    """Phases: a plain network, if asked for an auxiliary one, then a concept-whitened one from a best checkpoint."""

    plain_epochs: Count = 6
    whitened_epochs: Annotated[int, Field(ge=0)] = 1
    """0: whitening is put in and aligned, and nothing is trained."""
    whitened_from: Start = Start.PLAIN
    batch_size: Annotated[int, Field(ge=2)] = 32
    learning_rate: Positive = 3e-4
    whitened_learning_rate: Positive = 1e-4
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    warmup: Fraction = 0.1
    """Share of a phase's steps in which the learning rate rises linearly; a cosine to zero follows."""
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    balance: Balance = Balance.SAMPLER
    precision: Precision = Precision.FLOAT32
    """Of the network in training steps and in validation after each epoch; evaluation is in float32."""
    free_axis_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Probability with which, in whitened training, an image goes without the free axes."""
    free_axes_in_evaluation: FreeAxes = FreeAxes.EXPECTED
    """What they weigh afterwards, where training dropped them; ``expected`` needs the readout of ``insert``."""
    alignment: AlignmentSettings = AlignmentSettings()
    concept_loss: ConceptLossSettings = ConceptLossSettings()
    auxiliary: AuxiliarySettings = AuxiliarySettings()

    @model_validator(mode="after")
    def starts_from_a_network_that_is_trained(self) -> Self:
        """Refuse to start from an auxiliary network that has no epochs."""
        if self.whitened_from is Start.AUXILIARY and self.auxiliary.epochs == 0:
            raise ValueError("whitened_from is 'auxiliary', but auxiliary.epochs is 0: set it to some epochs, e.g. 6")
        return self


class EvaluationSettings(Settings):
    """How figures get their intervals."""

    resamples: Annotated[int, Field(ge=100)] = 1000
    """Bootstrap resamples, drawn by group."""
    baselines: tuple[Baseline, ...] = ()
    """Further baselines beside the linear probes and the best filter, which are always measured."""


class ExplanationSettings(Settings):
    """How importance is measured, and what is explained."""

    permutations: Annotated[int, Field(ge=20)] = 20
    exemplars: Annotated[int, Field(ge=1, le=24)] = 6
    """Most activated test images shown per concept."""
    discovered: Annotated[int, Field(ge=0, le=24)] = 5
    """Directions among the free axes that are shown, the most used first; 0: none."""
    sanity: Annotated[int, Field(ge=0, le=200)] = 10
    """Networks with randomised weights, and permutations of the concept labels, that importance and purity are held
    against; each costs a run of the network's tail over the test images for every concept and one more. 0: none."""
    failures: Annotated[int, Field(ge=0, le=48)] = 12
    """Most confidently wrong test images shown."""
    cases: Count | None = None
    """Test images that are explained one by one, drawn with the seed; default: all."""


class RunSettings(Settings):
    """One experiment."""

    name: str = "phantom"
    seed: int = 0
    threads: Count | None = None
    """CPU threads; default: all."""
    runs: Path = Path("runs")
    """Folder in which the run's folder is made."""
    data: DataSettings = DataSettings()
    concepts: ConceptSettings = ConceptSettings()
    transforms: TransformSettings = TransformSettings()
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    explanation: ExplanationSettings = ExplanationSettings()

    @model_validator(mode="after")
    def has_a_readout_where_one_is_needed(self) -> Self:
        """Refuse an expectation of dropped axes that no readout could take up."""
        dropped = self.training.free_axis_dropout > 0 and self.training.whitened_epochs > 0
        expected = self.training.free_axes_in_evaluation is FreeAxes.EXPECTED
        if dropped and expected and self.model.placement is Placement.REPLACE:
            raise ValueError(
                "training.free_axis_dropout with model.placement=replace has no readout to take the expectation up: "
                "set model.placement=insert, or training.free_axes_in_evaluation=whole"
            )
        return self


def load_settings(path: Path, overrides: Sequence[str] = ()) -> RunSettings:
    """Read an experiment from YAML and apply ``key.subkey=value`` overrides.

    Args:
        path: A YAML file whose keys are those of `RunSettings`.
        overrides: Strings such as ``training.plain_epochs=3``; values are read as YAML.

    Raises:
        SettingsError: If the file is missing or malformed, or a key or value is not allowed.
    """
    tree = _read_tree(path)
    for override in overrides:
        _apply(tree, override)
    return parse_settings(tree, origin=str(path))


def parse_overrides(overrides: Sequence[str]) -> RunSettings:
    """The default settings with ``key.subkey=value`` overrides.

    Raises:
        SettingsError: If a key or value is not allowed.
    """
    tree: dict[str, Any] = {}
    for override in overrides:
        _apply(tree, override)
    return parse_settings(tree, origin="settings")


def parse_settings(tree: dict[str, Any], *, origin: str) -> RunSettings:
    """Settings from nested dictionaries; ``origin`` names them in errors.

    Raises:
        SettingsError: If a key or value is not allowed.
    """
    try:
        return RunSettings.model_validate(tree)
    except ValidationError as error:
        raise SettingsError(f"{origin}: " + "; ".join(_sentence(dict(item)) for item in error.errors())) from error


def dump_settings(settings: RunSettings) -> str:
    """The settings as YAML that `load_settings` reads back to an equal object."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read_tree(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise SettingsError(f"{path}: no such settings file; the ones that come with Dermaxis lie in configs/")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise SettingsError(f"{path}: expected settings as 'key: value', found {type(tree).__name__}")
    return tree


def _apply(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise SettingsError(f"'{override}': expected key=value, e.g. training.plain_epochs=3")
    # concepts=NAME@VERSION is how people say it; a group of settings cannot have a value of its own.
    key = "concepts.release" if key == "concepts" else key
    *parents, leaf = key.split(".")
    for parent in parents:
        branch = tree.setdefault(parent, {})
        if not isinstance(branch, dict):
            raise SettingsError(f"'{override}': {parent} is a value, not a group of settings")
        tree = branch
    try:
        tree[leaf] = yaml.safe_load(text) if text else None
    except yaml.YAMLError as error:
        raise SettingsError(f"'{override}': the value is not YAML") from error


def _sentence(error: dict[str, Any]) -> str:
    location = [str(part) for part in error["loc"]]
    key = ".".join(location) or "settings"
    if error["type"] != "extra_forbidden":
        return f"{key}: {error['msg']} (got {error['input']!r})"
    known = sorted(_group(location[:-1]).model_fields)
    close = get_close_matches(location[-1], known, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    return f"unknown key '{key}'{hint} Known here: {', '.join(known)}"


def _group(location: Sequence[str]) -> type[BaseModel]:
    group: type[BaseModel] = RunSettings
    for part in location:
        if part not in group.model_fields:
            continue
        annotation = group.model_fields[part].annotation
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        group = next(kind for kind in candidates if isinstance(kind, type) and issubclass(kind, BaseModel))
    return group
