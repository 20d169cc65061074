//! A `/proc` of the sandbox's own processes, without the machine's insides.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::FileType;
use rustix::io::{Errno, Result};
use rustix::mount::MountAttrFlags;

use super::devices::Devices;
use super::mounts::{SEALED, attach, copy, create, open_target};

/// Covered by an empty directory or the null device. Most are closed to an unprivileged user anyway, kernel by
/// kernel and setting by setting; covered, they are closed on all.
const MASKED: [&CStr; 26] = [
    c"acpi",
    c"asound",
    c"bus",
    c"cmdline",
    c"config.gz",
    c"diskstats",
    c"driver",
    c"dynamic_debug",
    c"fs",
    c"interrupts",
    c"iomem",
    c"ioports",
    c"irq",
    c"kallsyms",
    c"kcore",
    c"key-users",
    c"keys",
    c"kmsg",
    c"latency_stats",
    c"modules",
    c"partitions",
    c"sched_debug",
    c"scsi",
    c"sysrq-trigger",
    c"timer_list",
    c"timer_stats",
];

/// Those of the masked paths that this kernel has; looked up once, as each mount counts.
pub(crate) fn existing_masks() -> Vec<CString> {
    let exists = |name: &&&CStr| {
        let path = [c"/proc/".to_bytes(), name.to_bytes()].concat();
        rustix::fs::stat(path).is_ok()
    };
    MASKED.iter().filter(exists).map(|name| (*name).to_owned()).collect()
}

/// A new instance for the process namespace of this process.
///
/// It is read-only as a whole: nothing below `/proc/sys` can be written whoever the owner. `hidepid` leaves out
/// processes that cannot be inspected, which is the sandbox's first one.
pub(super) fn prepare() -> Result<OwnedFd> {
    create(c"proc", &[(c"hidepid", "invisible")], SEALED | MountAttrFlags::MOUNT_ATTR_NOEXEC)
}

/// Mounts it at `/proc` of `root` and covers the files that programs inside must not see.
pub(super) fn attach_masked(root: &OwnedFd, proc: &OwnedFd, devices: &Devices, masks: &[CString]) -> Result<()> {
    attach(proc.as_fd(), open_target(root.as_fd(), c"proc")?.as_fd())?;
    let mut covered_directory: Option<OwnedFd> = None;
    for name in masks {
        let target = match open_target(proc.as_fd(), name) {
            Err(Errno::NOENT) => continue,
            other => other?,
        };
        if FileType::from_raw_mode(rustix::fs::fstat(&target)?.st_mode) != FileType::Directory {
            attach(devices.null()?.as_fd(), target.as_fd())?;
            continue;
        }
        // One empty file system serves for all: the first is new, the others are copies of it.
        let cover = match &covered_directory {
            None => create(c"tmpfs", &[(c"size", "4k"), (c"nr_inodes", "1"), (c"mode", "0555")], SEALED)?,
            Some(first) => copy(first.as_fd(), SEALED)?,
        };
        attach(cover.as_fd(), target.as_fd())?;
        covered_directory.get_or_insert(cover);
    }
    Ok(())
}
