//! The root file system: sealed layers, a private `/tmp`, nothing of the host.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Result;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree, unmount,
};

use super::Plan;
use crate::problem::{During, Problem, Step};
use crate::sys;

/// No set-user-id programs, no devices.
pub(super) const QUIET: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);
/// As a layer is mounted.
pub(super) const SEALED: MountAttrFlags = QUIET.union(MountAttrFlags::MOUNT_ATTR_RDONLY);

/// The layers' directories on the host, opened while they can be reached.
pub(super) struct Sources {
    root: OwnedFd,
    mounts: Vec<OwnedFd>,
}

// === impl Sources ===

impl Sources {
    pub(super) fn open(plan: &Plan) -> std::result::Result<Self, Problem> {
        let open = |path: &CStr| open_source(path).during_with(Step::Layers, path.to_string_lossy());
        let mounts = plan.mounts.iter().map(|(source, _)| open(source)).collect::<std::result::Result<_, _>>()?;
        Ok(Self { root: open(&plan.root)?, mounts })
    }

    /// Mounts the root over its own directory and the other layers below it. Answers with the root mount.
    pub(super) fn attach(self, plan: &Plan) -> std::result::Result<OwnedFd, Problem> {
        let root = (|| {
            let root = copy(self.root.as_fd(), SEALED)?;
            attach(root.as_fd(), self.root.as_fd())?;
            Ok::<_, rustix::io::Errno>(root)
        })()
        .during_with(Step::Root, plan.root.to_string_lossy())?;
        for (source, (path, target)) in self.mounts.iter().zip(&plan.mounts) {
            let mounted = || attach(copy(source.as_fd(), SEALED)?.as_fd(), open_target(root.as_fd(), target)?.as_fd());
            let subject = || format!("{} on /{}", path.to_string_lossy(), target.to_string_lossy());
            mounted().map_err(|error| Problem::new(Step::Root, subject(), &error.into()))?;
        }
        Ok(root)
    }
}

/// Opens what will be mounted.
pub(super) fn open_source(path: &CStr) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// Opens a mount point below `root`. Layers are other people's trees: no link in them may lead the mount elsewhere.
pub(super) fn open_target(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// A new mount of what `source` is, not yet anywhere.
pub(super) fn copy(source: BorrowedFd<'_>, attributes: MountAttrFlags) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(source, c"", flags)?;
    restrict(tree.as_fd(), attributes)?;
    Ok(tree)
}

/// Sets attributes, and cuts the mount off from what the host mounts later.
pub(super) fn restrict(mount: BorrowedFd<'_>, attributes: MountAttrFlags) -> Result<()> {
    sys::mount_setattr(mount, attributes.bits().into(), libc::MS_PRIVATE)
        .map_err(|error| rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO))
}

/// A layer of the host as it is mounted in sandboxes, in no place yet. For a process that may mount on the host.
pub(crate) fn detached_layer(path: &Path) -> std::result::Result<OwnedFd, Problem> {
    let open = || -> std::io::Result<OwnedFd> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        Ok(copy(open_source(&path)?.as_fd(), SEALED)?)
    };
    open().during_with(Step::Layers, path.to_string_lossy())
}

/// Cuts this mount namespace off from what its origin mounts. One with another user namespace is so from the start.
pub(super) fn keep_private() -> Result<()> {
    let root = rustix::fs::open(c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    restrict(root.as_fd(), MountAttrFlags::empty())
}

/// Puts a mount in its place.
pub(super) fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", target, c"", flags)
}

/// A new file system, not yet anywhere.
pub(super) fn create(kind: &CStr, options: &[(&CStr, &str)], attributes: MountAttrFlags) -> Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in options {
        fsconfig_set_string(context.as_fd(), *name, *value)?;
    }
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// A tmpfs of `bytes` that every user inside may write to.
pub(super) fn scratch(bytes: u64) -> Result<OwnedFd> {
    // Inodes cost kernel memory that `size` does not count.
    let inodes = (bytes / 4096).clamp(256, 65_536).to_string();
    // Zero means no limit.
    let bytes = bytes.max(4096).to_string();
    create(c"tmpfs", &[(c"size", &bytes), (c"nr_inodes", &inodes), (c"mode", "1777")], QUIET)
}

/// Mounts the private `/tmp`.
pub(super) fn attach_tmp(root: &OwnedFd, bytes: u64) -> Result<()> {
    attach(scratch(bytes)?.as_fd(), open_target(root.as_fd(), c"tmp")?.as_fd())
}

/// Makes `root` the root of this process and drops the host's tree.
pub(super) fn pivot(root: &OwnedFd) -> Result<()> {
    rustix::process::fchdir(root)?;
    // The old root ends up on top of the new one, in the same place, from where it can be taken off.
    rustix::process::pivot_root(c".", c".")?;
    unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")?;
    Ok(())
}
