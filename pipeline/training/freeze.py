"""Keep parts of a network as they came: no gradient, no new batch statistics."""

from collections.abc import Sequence

from torch import nn

from concepts.errors import SettingsError


def freeze(network: nn.Module, names: Sequence[str]) -> None:
    """Freeze modules by qualified name: their parameters and running statistics no longer change.

    Early layers of a network pretrained on photographs serve dermoscopy as they are; leaving them saves a third of a
    training step and, on small data, some over-fitting.

    Args:
        network: Changed in place.
        names: Such as ``("stem", "blocks.0")``.

    Raises:
        SettingsError: If there is no module of that name.
    """
    for name in names:
        try:
            module = network.get_submodule(name)
        except AttributeError as error:
            names = ", ".join(child for child, _ in network.named_children())
            raise SettingsError(
                f"model.frozen: the network has no module '{name}'; its outermost modules are: {names}"
            ) from error
        module.requires_grad_(False)
        # Trainers put the whole network into training mode before every step.
        module.register_forward_pre_hook(_stay_in_evaluation)


def _stay_in_evaluation(module: nn.Module, _inputs: tuple[object, ...]) -> None:
    module.eval()
