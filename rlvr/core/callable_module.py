"""Make a module callable: `rlvr.train(...)` trains although `rlvr.train` is also the module rlvr/train.py."""

import importlib
import inspect
from types import ModuleType
from typing import Any


class CallableModule(ModuleType):
    """Call the function of rlvr/commands/api.py that has the module's name.

    Python binds a submodule in its package when it is imported, over any function of that name; a function
    `rlvr.train` would work until something imports rlvr/train.py. A module that is called works in every order.
    Use, at the end of the module: `sys.modules[__name__].__class__ = CallableModule`.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    @property
    def _function(self) -> Any:
        return getattr(importlib.import_module("rlvr.commands.api"), self.__name__.rpartition(".")[2])

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function)
