"""Errors that a user can fix; each message says what was expected, what came, and what to do next."""


class UserError(Exception):
    """Base of the errors that are shown as one message, without a traceback."""


class ConfigError(UserError):
    """A setting is unknown, out of range, or contradicts another one."""


class DataError(UserError):
    """A raw file is missing, corrupt, or not in the expected format."""


class ArtifactError(UserError):
    """A file that an earlier stage should have written is missing, corrupt, or belongs to something else."""
