"""Switch off address randomisation and make readable memory executable."""

from kit import every, in_child, refused, syscall

CONTROL = "any"


def attempt(event):
    return every(
        [
            in_child(lambda: refused("ADDR_NO_RANDOMIZE", syscall(135, 0x004_0000))),
            in_child(lambda: refused("READ_IMPLIES_EXEC", syscall(135, 0x040_0000))),
        ]
    )
