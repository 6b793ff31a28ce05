"""What is wrong with settings, apart from them: whoever only tells of it need not load what reads them."""


class SettingsError(ValueError):
    """A setting that cannot be used; the message has one line for each."""
