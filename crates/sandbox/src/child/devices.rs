//! A `/dev` with nothing in it but what every program expects.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, mkdirat, openat, symlinkat};
use rustix::io::Result;
use rustix::mount::MountAttrFlags;

use super::mounts::{QUIET, SEALED, attach, copy, create, open_source, open_target, restrict, scratch};
use crate::problem::{During, Problem, Step};

/// The devices, all harmless, as name and path on the host.
const DEVICES: [(&CStr, &CStr); 5] = [
    (c"null", c"/dev/null"),
    (c"zero", c"/dev/zero"),
    (c"full", c"/dev/full"),
    (c"random", c"/dev/random"),
    (c"urandom", c"/dev/urandom"),
];

const LINKS: [(&CStr, &CStr); 4] = [
    (c"/proc/self/fd", c"fd"),
    (c"/proc/self/fd/0", c"stdin"),
    (c"/proc/self/fd/1", c"stdout"),
    (c"/proc/self/fd/2", c"stderr"),
];

/// `/dev/shm` never gets more than this.
const SHARED_MEMORY_MAX: u64 = 64 << 20;

/// The host's device files.
pub(super) struct Sources([OwnedFd; 5]);

/// A `/dev` that has no place yet.
pub(super) struct Devices {
    tree: OwnedFd,
    sources: Sources,
}

// === impl Sources ===

impl Sources {
    pub(super) fn open() -> std::result::Result<Self, Problem> {
        let open = |(_, path): (&CStr, &CStr)| open_source(path).during_with(Step::Devices, path.to_string_lossy());
        let [null, zero, full, random, urandom] = DEVICES.map(open);
        Ok(Self([null?, zero?, full?, random?, urandom?]))
    }
}

// === impl Devices ===

impl Devices {
    /// Makes the directory with empty files for the devices.
    pub(super) fn prepare(sources: Sources) -> Result<Self> {
        let options = [(c"size", "64k"), (c"nr_inodes", "32"), (c"mode", "0755")];
        let tree = create(c"tmpfs", &options, QUIET | MountAttrFlags::MOUNT_ATTR_NOEXEC)?;
        for (name, _) in DEVICES {
            openat(&tree, name, OFlags::CREATE | OFlags::CLOEXEC | OFlags::RDONLY, Mode::from(0o444))?;
        }
        for (target, name) in LINKS {
            symlinkat(target, &tree, name)?;
        }
        mkdirat(&tree, c"shm", Mode::from(0o755))?;
        Ok(Self { tree, sources })
    }

    /// A mount of the null device.
    pub(super) fn null(&self) -> Result<OwnedFd> {
        self.device(0)
    }

    /// Puts it at `/dev` of `root`.
    pub(super) fn attach(self, root: &OwnedFd, tmp_bytes: u64) -> Result<()> {
        attach(self.tree.as_fd(), open_target(root.as_fd(), c"dev")?.as_fd())?;
        // Its owner is the sandbox's user, who could otherwise put files here. Before anything is mounted inside: the
        // attributes reach all that is below.
        restrict(self.tree.as_fd(), SEALED)?;
        for (index, (name, _)) in DEVICES.iter().enumerate() {
            attach(self.device(index)?.as_fd(), open_target(self.tree.as_fd(), name)?.as_fd())?;
        }
        attach(scratch(tmp_bytes.min(SHARED_MEMORY_MAX))?.as_fd(), open_target(self.tree.as_fd(), c"shm")?.as_fd())
    }

    /// Devices stay writable on a read-only mount; only their attributes do not.
    fn device(&self, index: usize) -> Result<OwnedFd> {
        let attributes =
            MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        copy(self.sources.0[index].as_fd(), attributes)
    }
}
