"""The error that says: a file the user gave, or a place to write to, is wrong."""


class InputError(ValueError):
    """A file the user named cannot be used; the message is one line that says what mends it.

    Command-line front doors print ``error: <message>`` and exit with status 2.
    """
