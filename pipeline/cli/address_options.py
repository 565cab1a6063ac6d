"""Options that take an address: it may come from a file or the environment, but no secret from the command line."""

import typer

from concepts.addresses import refuse_shown_secret


def without_secret(context: typer.Context, parameter: typer.CallbackParam, value: str | None) -> str | None:
    """Return an option's value; refuse a secret that was typed, since everyone on the machine can read it.

    Raises:
        SettingsError: If the value holds one and does not come from the environment.
    """
    source = context.get_parameter_source(parameter.name or "")
    if source is not None and source.name == "COMMANDLINE":
        refuse_shown_secret(value, option=parameter.opts[0], variable=str(parameter.envvar))
    return value
