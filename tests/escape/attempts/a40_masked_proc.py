"""Read kernel memory, keys, timers and addresses from /proc and /sys."""

from kit import denied, escaped

CONTROL = "root"
FILES = (
    "/proc/kcore",
    "/proc/keys",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/kpagecount",
    "/proc/iomem",
    "/proc/latency_stats",
    "/sys/kernel/security",
    "/sys/firmware/acpi/tables/DSDT",
)


def attempt(event):
    for file in FILES:
        try:
            with open(file, "rb") as opened:
                if opened.read(64):
                    return escaped(f"{file} can be read")
        except OSError:
            continue
    try:
        with open("/proc/kallsyms", "rb") as symbols:
            if any(int(line.split()[0], 16) for line in symbols):
                return escaped("/proc/kallsyms shows addresses")
    except OSError:
        pass
    return denied("nothing of the kernel is to be seen")
