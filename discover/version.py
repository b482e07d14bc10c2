"""The version of the installed distribution."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["VERSION"]

try:
    VERSION = version("kubearmor-discover")
except PackageNotFoundError:  # a checkout that was never installed
    VERSION = "0+unknown"
