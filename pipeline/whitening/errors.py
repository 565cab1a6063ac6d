"""What the engine refuses; each message says what came, what is allowed and what to do."""


class WhiteningError(ValueError):
    """A network, a layer or a set of axes that cannot be whitened as asked."""


class LabelsError(WhiteningError):
    """Concept labels that contradict the hierarchy of the concepts."""
