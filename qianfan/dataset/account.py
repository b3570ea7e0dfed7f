"""Whose account a dataset is reached with: the settings' own, or that of keys given for it."""

from __future__ import annotations

from functools import cached_property

from pydantic import SecretStr

from qianfan._transport import Client, client_with
from qianfan.errors import InvalidArgumentError


class Account:
    """A client, or a pair of keys that take the place of the settings' own, or both.

    The keys do not print and are not pickled: whoever unpickles is asked for the settings' own.
    """

    def __init__(self, client: Client | None = None, ak: str | None = None, sk: str | None = None) -> None:
        if (ak is None) != (sk is None):
            raise InvalidArgumentError("ak and sk are a pair: give both of them, or none")
        self._given = client
        self._keys = None if ak is None or sk is None else (SecretStr(ak), SecretStr(sk))

    def __repr__(self) -> str:
        return "Account(of its own)" if self._keys else "Account(of the settings)"

    def __reduce__(self) -> tuple[type[Account], tuple[()]]:
        return Account, ()

    def __deepcopy__(self, memo: object) -> Account:
        return self  # a copy in this process is of the same account

    @property
    def ak(self) -> str | None:
        """The access key that was given."""
        return None if self._keys is None else self._keys[0].get_secret_value()

    @property
    def sk(self) -> str | None:
        """The secret key that was given."""
        return None if self._keys is None else self._keys[1].get_secret_value()

    @property
    def client(self) -> Client:
        """What the account is reached with; the process's own client where nothing was given."""
        if self._keys is None:
            return self._given if self._given is not None else client_with()
        return client_with(access_key=self.ak, secret_key=self.sk) if self._given is None else self._of_the_given

    @cached_property
    def _of_the_given(self) -> Client:
        assert self._given is not None
        return self._given.with_settings(access_key=self.ak, secret_key=self.sk)
