"""Policies compiled to what the kernel walks; `Interpreter` reads it as the kernel does."""

from enforcer.compile.interpret import Answer, Interpreter
from enforcer.compile.tables import Head, Tables, compile_tables

__all__ = ["Answer", "Head", "Interpreter", "Tables", "compile_tables"]
