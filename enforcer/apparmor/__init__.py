"""The AppArmor back end: the same policies as profiles of AppArmor's own language, and its log as alerts."""

from enforcer.apparmor.profile import Profiles, profiles

__all__ = ["Profiles", "profiles"]
