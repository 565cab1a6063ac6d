"""Settings of an experiment: typed, read from YAML, changed by ``key=value``.

One YAML file is one experiment. Every key has a type and a range; an unknown key is refused, and the error names the
known ones. Settings may come from a stranger: numbers have an upper bound, words and lists a length, an error repeats
at most a few characters of what came, and nothing of a path. They hold no address of a database or server.
"""

import ast
import inspect
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from concepts.addresses import blanked
from concepts.errors import DataError, SettingsError
from concepts.plain_yaml import MOST_CHARACTERS, parse_yaml
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
Positive = Annotated[float, Field(gt=0.0, le=1e6)]
Weight = Annotated[float, Field(ge=0.0, le=1e6)]
Epochs = Annotated[int, Field(ge=0, le=1000)]
Seed = Annotated[int, Field(ge=0, lt=1 << 63)]
Images = Annotated[int, Field(ge=1, le=10_000_000)]
Word = Annotated[str, Field(max_length=200)]
Words = Annotated[tuple[Word, ...], Field(max_length=1000)]
LONGEST_PATH = 4096
LONGEST_KEY = 120
LONGEST_NAME = 100
MOST_OVERRIDES = 200
LONGEST_SETTINGS = 16_000
"""Characters of all settings as JSON; defaults have some 2,500. As YAML they can then be read back."""
MOST_ERRORS = 5
"""Errors in settings that are told at once."""
ECHOED = 40
"""Characters that an error repeats of what came."""


def _is_no_address(path: Path) -> Path:
    # Path makes one stroke of the two.
    if ":/" in str(path) or "\0" in str(path) or len(str(path)) > LONGEST_PATH:
        raise ValueError(f"must be a path of at most {LONGEST_PATH} characters, not an address")
    return path


def _may_name_a_folder(name: str) -> str:
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or name[0] in ".- " or set("/\\") & set(name):
        raise ValueError(f"must name a folder: 1 to {LONGEST_NAME} characters, no stroke, the first no point or hyphen")
    return name


SettingPath = Annotated[Path, AfterValidator(_is_no_address)]
"""A path: never an address, which may hold a password."""


class Settings(BaseModel):
    """A group of settings: immutable, and closed to unknown keys; `field_descriptions` reads its fields' docstrings."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SplitSettings(Settings):
    """Shares of the cohort that are held out, by group (patient, lesion or near-duplicates)."""

    validation: Fraction = 0.16
    """Share of the images by which the checkpoint is chosen."""
    test: Fraction = 0.2
    """Share of the images on which everything is reported."""
    near_duplicate_bits: Annotated[int, Field(ge=0, le=32)] = 12
    """Largest distance, in bits, between the 64-bit perceptual hashes of two images that may be near-duplicates; their
    thumbnails then decide."""

    @model_validator(mode="after")
    def leaves_something_to_train_on(self) -> Self:
        """Refuse shares that use up the cohort."""
        if not 0 < self.validation < 1 or not 0 < self.test < 1 or self.validation + self.test >= 1:
            raise ValueError("validation and test must each be above 0 and together below 1")
        return self


class ShortcutSettings(Settings):
    """An artefact tied to a diagnosis in all patients; without it the cohort is its counterpart, image by image."""

    artefact: Word
    """Identifier of the artefact, e.g. ``ruler``."""
    diagnosis: Word
    """Identifier of the diagnosis that it goes with, e.g. ``melanoma``."""
    strength: Fraction = 0.9
    """Probability of the artefact given the diagnosis; with other diagnoses it keeps its base rate."""


class PhantomSettings(Settings):
    """The generated cohort."""

    images: Annotated[int, Field(ge=1, le=100_000)] = 1800
    """How many images are drawn."""
    size: Annotated[int, Field(ge=64, le=512)] = 128
    """Side of the images in pixels."""
    seed: Seed = 0
    """Of the drawing; another seed draws other patients."""
    shortcut: ShortcutSettings | None = None
    """An artefact that tells the diagnosis; default: none does."""
    network_types: bool = False
    """Whether a pigment network is also typical (even) or atypical (uneven), half of them each: two concepts more."""


class DataSettings(Settings):
    """Which images, and how they are split and read."""

    source: Literal["phantom", "isic2018", "isic"] = "phantom"
    """Data source: generated lesions, ISIC 2018 task 1 and 2, or a folder with images and a table of the archive."""
    root: SettingPath | None = None
    """Folder of the data set; for the phantom, where to generate it (default: the cache)."""
    limit: Images | None = None
    """Use only so many images, drawn with the seed, stratified by diagnosis; for trials. Default: all."""
    diagnoses: Words | None = None
    """Keep only these diagnoses; default: all that the source has."""
    cache: SettingPath = Path("~/.cache/dermaxis")
    """Folder of decoded images, by content digest."""
    workers: Annotated[int, Field(ge=0, le=64)] = 0
    """Processes that load images beside the one that trains; 0: that one loads them."""
    max_pixels: Annotated[int, Field(ge=1, le=1_000_000_000)] = 100_000_000
    """Images with more pixels are refused."""
    split: SplitSettings = SplitSettings()
    """Shares of the images that are held out."""
    phantom: PhantomSettings = PhantomSettings()
    """The generated cohort, where ``source`` is ``phantom``."""


class SubspaceSettings(Settings):
    """What a concept owns beside its axis."""

    children: Words = ()
    """Its sub-concepts, each with an axis; they are told apart among the images that show the concept."""
    free: Annotated[int, Field(ge=0, le=4096)] = 0
    """Axes without a name for what else varies among the images that show it."""


class ConceptSettings(Settings):
    """Which concepts the axes are given to, and by which release."""

    release: SettingPath | None = None
    """A frozen release: a JSON file, or ``NAME@VERSION`` in the store that ``DERMAXIS_STORE`` names. Default: frozen
    from the source's own masks."""
    names: Words | None = None
    """Identifiers of the concepts to use, in the order of the axes; default: all of the release."""
    unmarked_is_absent: bool = True
    """Whether an image in which a concept was not marked may serve as a (weak) negative."""
    subspaces: Annotated[dict[Word, SubspaceSettings], Field(max_length=1000)] = {}
    """Concepts that own more than one axis, e.g. ``{pigment_network: {children: [typical_network], free: 1}}``."""
    minimum_positives: Images = 40
    """Concepts with fewer training images that show them are reported as not assessable."""


class TransformSettings(Settings):
    """How images reach the network."""

    size: Annotated[int, Field(ge=32, le=1024)] = 224
    """Side of the square that the network sees, in pixels."""
    fit: Fit = Fit.SQUASH
    """How an image of any shape becomes a square."""
    margin: Annotated[int, Field(ge=0, le=1024)] = 16
    """Pixels by which the decoded image is larger; training crops at random, evaluation at the centre, so the scale
    stays."""
    flips: bool = True
    """Whether training mirrors images at random."""
    right_angle_turns: bool = True
    """Whether training turns images at random by quarters of a full turn."""
    brightness: Fraction = 0.1
    """Largest relative change of brightness in training."""
    contrast: Fraction = 0.1
    """Largest relative change of contrast in training."""
    saturation: Fraction = 0.1
    """Largest relative change of saturation in training."""
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = 0.02
    """Largest change of hue in training, as a share of the colour circle."""


class ModelSettings(Settings):
    """The network, and where concept whitening goes."""

    architecture: Word = "mobilenet_v1"
    """``mobilenet_v1``, ``resnet18``, ``resnet34``, ``resnet50``, ``densenet121`` or ``efficientnet-b0``."""
    width: Annotated[float, Field(gt=0.0, le=16.0)] | None = None
    """Multiplies the channels of ``mobilenet_v1`` and of the ResNets; default: 0.75 and 1."""
    weights: SettingPath | None = None
    """A local safetensors or state-dict file; default: random initial weights."""
    frozen: Words = ()
    """Modules whose weights and statistics training leaves as they are, e.g. ``[stem, blocks.0]``."""
    layer: Word | None = None
    """Module that concept whitening replaces or follows; default: the backbone's recommended one."""
    further_layers: Words = ()
    """More modules that are whitened for the same concepts, to see how concepts evolve; figures are of ``layer``."""
    placement: Placement = Placement.INSERT
    """Whether concept whitening takes the place of ``layer``, a batch normalisation, or follows it."""
    activation: Activation = Activation.POOL_MAX
    """How the map of an axis becomes one number per image."""
    turns: Literal[1, 2, 4] = 1
    """Quarter turns of each image over whose maps evaluation and explanation average (a lesion has no upright); 2: by
    half a turn. Training sees one at a time; exported networks too."""


class AlignmentSettings(Settings):
    """How axes are turned onto concepts."""

    schedule: Schedule = Schedule.EXACT
    """Whether axes are turned in closed form after every epoch, or by the paper's stochastic updates."""
    objective: Objective = Objective.CONTRAST
    """Which statistics of a concept its axis is aligned with."""
    every: Annotated[int, Field(ge=1, le=1_000_000)] = 30
    """Training steps between two alignment steps (schedule ``paper``)."""
    shrinkage: Weight = 0.0
    """How much directions of little variance count less in where axes point, relative to the mean variance; for deep
    layers with many channels and few images, e.g. 1. Whitening stays exact."""
    refinement_steps: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Steps along Cayley curves after the closed form, for activations that are not linear (schedule ``exact``)."""


class ConceptLossSettings(Settings):
    """The optional loss by which the backbone, too, learns from the concepts."""

    weight: Weight = 0.0
    """Weight of the image-level loss on the named activations; 0 turns it off."""
    region_weight: Weight = 0.0
    """Weight of the position-level loss against the concepts' masks, where they exist; 0 turns it off."""


class AuxiliarySettings(Settings):
    """A network that learns diagnosis and concepts together through a concept head at the layer, without whitening.

    It is a baseline for the whitened one, and may be what that one starts from.
    """

    epochs: Epochs = 0
    """Passes over the training images; 0: there is no such network."""
    from_plain: bool = False
    """Whether it starts from the trained plain network; else it starts where that one did."""
    learning_rate: Positive = 1e-3
    """Peak of the schedule."""
    weight: Weight = 1.0
    """Weight of the image-level concept loss."""
    region_weight: Weight = 0.5
    """Weight of the position-level concept loss."""


class TrainingSettings(Settings):
    """How the networks are trained: a plain one, an auxiliary one where asked for, and a whitened one."""

    plain_epochs: Annotated[int, Field(ge=1, le=1000)] = 6
    """Passes of the plain network over the training images."""
    whitened_epochs: Epochs = 1
    """Passes of the whitened network over the training images; 0: it is aligned, and nothing is trained."""
    whitened_from: Start = Start.PLAIN
    """Which trained network the whitened one starts from."""
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 32
    """Images in a batch, over all processes together."""
    learning_rate: Positive = 3e-4
    """Peak of the plain network's schedule."""
    whitened_learning_rate: Positive = 1e-4
    """Peak of the whitened network's schedule."""
    weight_decay: Weight = 0.01
    """Decoupled decay (AdamW) of weight matrices; offsets and normalisations do not decay."""
    warmup: Fraction = 0.1
    """Share of a phase's steps in which the learning rate rises linearly; then it falls to zero along a cosine."""
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of each label that is spread evenly over all diagnoses."""
    balance: Balance = Balance.SAMPLER
    """What is done about diagnoses of unequal frequency."""
    precision: Precision = Precision.FLOAT32
    """Arithmetic of the network in training steps and in validation after each epoch; evaluation is in float32."""
    free_axis_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Probability with which, in whitened training, an image goes without the free axes."""
    free_axes_in_evaluation: FreeAxes = FreeAxes.EXPECTED
    """What the free axes weigh in evaluation, where training dropped them; ``expected`` needs the readout that
    ``model.placement=insert`` gives."""
    alignment: AlignmentSettings = AlignmentSettings()
    """How axes are turned onto concepts."""
    concept_loss: ConceptLossSettings = ConceptLossSettings()
    """The optional loss by which the backbone, too, learns from the concepts."""
    auxiliary: AuxiliarySettings = AuxiliarySettings()
    """The optional network that learns diagnosis and concepts together, without whitening."""

    @model_validator(mode="after")
    def starts_from_a_network_that_is_trained(self) -> Self:
        """Refuse to start from an auxiliary network that has no epochs."""
        if self.whitened_from is Start.AUXILIARY and self.auxiliary.epochs == 0:
            raise ValueError("whitened_from is 'auxiliary', but auxiliary.epochs is 0: set it to 1 or more, e.g. 6")
        return self


class EvaluationSettings(Settings):
    """How figures get their intervals."""

    resamples: Annotated[int, Field(ge=100, le=100_000)] = 1000
    """Bootstrap resamples behind each interval, drawn by group."""
    baselines: Annotated[tuple[Baseline, ...], Field(max_length=100)] = ()
    """Further baselines beside the linear probes and the best filter, which are always measured."""


class ExplanationSettings(Settings):
    """How importance is measured, and what is explained."""

    permutations: Annotated[int, Field(ge=20, le=10_000)] = 20
    """Permutations of each axis over the test images, by which its importance is measured."""
    exemplars: Annotated[int, Field(ge=1, le=24)] = 6
    """Most activated test images shown per concept."""
    discovered: Annotated[int, Field(ge=0, le=24)] = 5
    """Unnamed directions among the free axes that are shown, the most important first; 0: none."""
    sanity: Annotated[int, Field(ge=0, le=200)] = 10
    """Networks with randomised weights, and permutations of the concept labels, that importance and purity are compared
    with; each costs a run of the network's tail over the test images for every concept and one more. 0: none."""
    failures: Annotated[int, Field(ge=0, le=48)] = 12
    """Most confidently wrong test images shown."""
    cases: Images | None = None
    """Test images that are explained one by one, drawn with the seed; default: all."""


class RunSettings(Settings):
    """One experiment."""

    name: Annotated[str, AfterValidator(_may_name_a_folder)] = "phantom"
    """Begins the name of the run's folder: 1 to 100 characters, no stroke among them, the first no point or hyphen."""
    seed: Seed = 0
    """Of everything random in the run."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """CPU threads; default: all."""
    runs: SettingPath = Path("runs")
    """Folder in which the run's folder is made."""
    data: DataSettings = DataSettings()
    """Which images, and how they are split and read."""
    concepts: ConceptSettings = ConceptSettings()
    """Which concepts the axes are given to, and by which release."""
    transforms: TransformSettings = TransformSettings()
    """How images reach the network."""
    model: ModelSettings = ModelSettings()
    """The network, and where concept whitening goes."""
    training: TrainingSettings = TrainingSettings()
    """How the networks are trained."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """How figures get their intervals."""
    explanation: ExplanationSettings = ExplanationSettings()
    """How importance is measured, and what is explained."""

    @model_validator(mode="after")
    def can_be_read_back(self) -> Self:
        """Refuse more words than a settings file may have."""
        length = len(self.model_dump_json())
        if length > LONGEST_SETTINGS:
            raise ValueError(f"the settings have {length:,} characters; at most {LONGEST_SETTINGS:,} are allowed")
        return self

    @model_validator(mode="after")
    def has_a_readout_where_one_is_needed(self) -> Self:
        """Refuse an expectation of dropped axes that no readout could take up."""
        dropped = self.training.free_axis_dropout > 0 and self.training.whitened_epochs > 0
        expected = self.training.free_axes_in_evaluation is FreeAxes.EXPECTED
        if dropped and expected and self.model.placement is Placement.REPLACE:
            raise ValueError(
                "training.free_axis_dropout needs a readout to take up the expectation of the free axes, and "
                "model.placement=replace has none: set model.placement=insert, or "
                "training.free_axes_in_evaluation=whole"
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
    if not path.is_file():
        raise SettingsError(f"{path}: there is no such settings file; those that come with Dermaxis lie in configs/")
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MOST_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: the file cannot be read as UTF-8 text; check it") from error
    tree = _parse_tree(text, origin=str(path))
    _apply_all(tree, overrides)
    return parse_settings(tree, origin=str(path))


def read_written_settings(text: str, *, origin: str) -> RunSettings:
    """Read what `dump_settings` wrote; ``origin`` names it in errors.

    An earlier version also wrote where the concept store was; nobody follows that, so it is passed over.

    Raises:
        SettingsError: If the text is malformed, or a key or value is not allowed.
    """
    tree = _parse_tree(text, origin=origin)
    if isinstance(tree.get("concepts"), dict):
        tree["concepts"].pop("store", None)
    return parse_settings(tree, origin=origin)


def parse_overrides(overrides: Sequence[str]) -> RunSettings:
    """Apply ``key.subkey=value`` overrides to the default settings.

    Raises:
        SettingsError: If a key or value is not allowed.

    Example:
        >>> parse_overrides(["training.plain_epochs=3"]).training.plain_epochs
        3
    """
    tree: dict[str, Any] = {}
    _apply_all(tree, overrides)
    return parse_settings(tree, origin="settings")


def change_settings(settings: RunSettings, overrides: Sequence[str]) -> RunSettings:
    """Apply ``key.subkey=value`` overrides to settings that were read before.

    Raises:
        SettingsError: If a key or value is not allowed.
    """
    tree = settings.model_dump(mode="json")
    _apply_all(tree, overrides)
    return parse_settings(tree, origin="settings")


def parse_settings(tree: dict[str, Any], *, origin: str) -> RunSettings:
    """Read settings from nested dictionaries; ``origin`` names them in errors.

    Raises:
        SettingsError: If a key or value is not allowed.
    """
    try:
        return RunSettings.model_validate(tree)
    except ValidationError as error:
        sentences = [_sentence(dict(item)) for item in error.errors()[:MOST_ERRORS]]
        more = f"; and {error.error_count() - MOST_ERRORS} more" if error.error_count() > MOST_ERRORS else ""
        raise SettingsError(f"{origin}: {'; '.join(sentences)}{more}") from None


def dump_settings(settings: RunSettings) -> str:
    """Write the settings as YAML that `load_settings` reads back to an equal object.

    Example:
        >>> read_written_settings(dump_settings(RunSettings()), origin="defaults") == RunSettings()
        True
    """
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def field_descriptions(group: type[Settings]) -> dict[str, str]:
    """Read the docstring of each field of a group of settings from its source, for a reference of all settings.

    Pydantic could do so itself (``use_attribute_docstrings``), but whenever this module is imported.

    Example:
        >>> field_descriptions(EvaluationSettings)["resamples"]
        'Bootstrap resamples behind each interval, drawn by group.'
    """
    (definition,) = ast.parse(dedent(inspect.getsource(group))).body
    statements = definition.body if isinstance(definition, ast.ClassDef) else []
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(statements)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


def is_path(annotation: object) -> bool:
    """Tell whether a setting of this type holds a path.

    Example:
        >>> is_path(Path | None), is_path(Annotated[Path, "of a folder"]), is_path(int)
        (True, True, False)
    """
    return annotation is Path or any(is_path(argument) for argument in get_args(annotation))


def _parse_tree(text: str, *, origin: str) -> dict[str, Any]:
    try:
        tree = parse_yaml(text)
    except DataError as error:
        raise SettingsError(f"{origin}: the file {error}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise SettingsError(f"{origin}: expected settings as 'key: value', found {type(tree).__name__}")
    return tree


def _apply_all(tree: dict[str, Any], overrides: Sequence[str]) -> None:
    if len(overrides) > MOST_OVERRIDES:
        raise SettingsError(f"{len(overrides):,} changes of settings; at most {MOST_OVERRIDES} are allowed")
    for override in overrides:
        _apply(tree, override)


def _apply(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not 0 < len(key) <= LONGEST_KEY:
        raise SettingsError(f"'{_cut(key)}': expected key=value, e.g. training.plain_epochs=3")
    # People write concepts=NAME@VERSION; a group of settings cannot have a value of its own.
    key = "concepts.release" if key == "concepts" else key
    *parents, leaf = key.split(".")
    for parent in parents:
        branch = tree.setdefault(parent, {})
        if not isinstance(branch, dict):
            raise SettingsError(f"'{_cut(key)}': {parent} is a value, not a group of settings")
        tree = branch
    try:
        tree[leaf] = parse_yaml(text) if text else None
    except DataError as error:
        raise SettingsError(f"'{_cut(key)}': the value {error}") from error


def _sentence(error: dict[str, Any]) -> str:
    location = [str(part) for part in error["loc"]]
    group, key = _group(location[:-1]), _cut(".".join(location)) or "settings"
    if error["type"] != "extra_forbidden":
        field = group.model_fields.get(location[-1]) if location else None
        is_private = field is not None and is_path(field.annotation)
        return f"{key}: {error['msg']}{'' if is_private else _got(error['input'])}"
    if location == ["concepts", "store"]:
        return (
            "concepts.store: settings do not say where the concept store is; whoever starts the run or the worker "
            "gives its address by DERMAXIS_STORE"
        )
    names = sorted(group.model_fields)
    close = get_close_matches(location[-1][:LONGEST_KEY], names, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    return f"unknown key '{key}'{hint} Keys here: {', '.join(names)}"


def _got(value: object) -> str:
    """Repeat what came, where it is short; of a group or list only what it is."""
    if isinstance(value, int) and value.bit_length() > 64:  # Python refuses to write very long numbers out
        return " (got a number of more than 19 digits)"
    if isinstance(value, str):
        return f" (got '{_cut(value)}')"
    if value is None or isinstance(value, bool | int | float):
        return f" (got {value!r})"
    return f" (got a {type(value).__name__})"


def _cut(text: str) -> str:
    """Return the beginning of what came, without secrets.

    >>> _cut("x" * 100)
    'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…'
    """
    text = "".join(sign if sign.isprintable() else "?" for sign in blanked(text[:LONGEST_PATH]))
    return text if len(text) <= ECHOED else f"{text[: ECHOED - 1]}…"


def _group(location: Sequence[str]) -> type[BaseModel]:
    group: type[BaseModel] = RunSettings
    for part in location:
        if part not in group.model_fields:
            continue
        annotation = group.model_fields[part].annotation
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        groups = (kind for kind in candidates if isinstance(kind, type) and issubclass(kind, BaseModel))
        group = next(groups, group)
    return group
