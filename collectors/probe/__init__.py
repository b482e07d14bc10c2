"""What this host can do: programs and maps tried on its kernel, and the few facts that no trial can tell."""
