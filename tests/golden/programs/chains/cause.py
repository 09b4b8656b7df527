"""`raise ... from`: the cause has its own frames and values."""

import json


class ConfigError(Exception):
    pass


def load(text):
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError("settings can't be read") from error


load("{'a': 1}")
