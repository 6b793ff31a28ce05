"""Where an installation on one machine keeps its secrets: files of the data folder, for their owner only."""

from typing import Final

KEY_FILE: Final = "first-key"
PEPPER_FILE: Final = "pepper"
