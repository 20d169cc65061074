"""The ways in which a server starts instances. What must hold for one must hold for each."""

# Name of the way, and the environment that makes a server go it.
WAYS: dict[str, dict[str, str]] = {"opened": {"FAAS_PARKED": "0"}, "parked": {"FAAS_PARKED": "4"}}
