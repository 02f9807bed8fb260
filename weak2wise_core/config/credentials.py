"""Where a key would stand in a recipe, which is written down in many places: there it is refused.

Only names are looked at, and only names and positions are said: never a value.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote_plus

ADVICE = (
    "a recipe holds no key, because it is written into manifests, caches and databases; name the "
    "key with api_key_env or api_key_block"
)
_NAMES = frozenset(
    {
        "auth",
        "bearer",
        "cookie",
        "idtoken",
        "jwt",
        "key",
        "oauth",
        "pwd",
        "sig",
        "signature",
        "token",
    }
)
_ENDINGS = (
    "accesskey",
    "accesskeyid",
    "accesstoken",
    "apikey",
    "apitoken",
    "authkey",
    "authorization",
    "authtoken",
    "bearertoken",
    "clientkey",
    "credential",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "refreshtoken",
    "secret",
    "secretkey",
    "securitytoken",
    "sessiontoken",
    "subscriptionkey",
)
"""Whole words with what may stand before them: `x-api-key`, `client_secret`."""
_OF_A_SCHEMA = frozenset({"properties", "patternProperties", "$defs", "definitions"})
"""Keys of JSON schemas below which names are described, and no values sent."""


def is_credential(name: str) -> bool:
    """Whether a field or parameter of this name would hold a key.

    Example:
        >>> [is_credential(name) for name in ("X-API-Key", "apiKey", "token", "client_secrets")]
        [True, True, True, True]
        >>> [is_credential(name) for name in ("max_tokens", "top_k", "prompt_cache_key")]
        [False, False, False]
    """
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return plain in _NAMES or plain.removesuffix("s").endswith(_ENDINGS)


def fault_of_address(url: str) -> str | None:
    """What in an address would be a key: user information, or a parameter with such a name."""
    if "@" in url:
        return "a user or password ('@')"
    for parameter in re.split(r"[?#&;]", url)[1:]:
        name = unquote_plus(parameter.partition("=")[0])
        if is_credential(name):
            return f"the parameter {name!r}"
    return None


def credentials_in(value: object, where: str) -> Iterator[str]:
    """The dotted path of every field with the name of a credential, however deep.

    Args:
        value: Mappings and lists as YAML and JSON have them.
        where: The path of the value itself.

    Raises:
        RecursionError: It contains itself, as YAML allows.
    """
    if isinstance(value, dict):
        described = where.rpartition(".")[2] in _OF_A_SCHEMA
        for name, item in value.items():
            path = f"{where}.{name}"
            if is_credential(str(name)) and not (described and isinstance(item, dict)):
                yield path
            else:
                yield from credentials_in(item, path)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from credentials_in(item, f"{where}.{number}")
