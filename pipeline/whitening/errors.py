"""What the engine refuses; each message says what came, what is allowed and what to do."""


class WhiteningError(ValueError):
    """A network, a layer or a set of axes that cannot be whitened as asked.

    Example:
        >>> from pipeline.whitening.layer import ConceptWhitening
        >>> try:
        ...     ConceptWhitening(2, ["streaks", "globules", "veil"])
        ... except WhiteningError:
        ...     print("three concepts, two axes")
        three concepts, two axes
    """


class LabelsError(WhiteningError):
    """Concept labels that contradict the hierarchy of the concepts.

    Example:
        >>> issubclass(LabelsError, WhiteningError)
        True
    """
