//! Confines a process: namespaces, mounts, cgroups, seccomp, limits.
