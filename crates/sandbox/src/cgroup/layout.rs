//! Which hierarchies hold the controllers, and the place of this server's cgroups in them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::controller::{Controller, Version};
use super::mounts::{Place, places};
use super::set;

/// A usable hierarchy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hierarchy {
    pub(crate) version: Version,
    pub(crate) controllers: Vec<Controller>,
    /// Holds the cgroups of all sandboxes of this server.
    pub(crate) base: PathBuf,
}

/// Everything that is usable here, and why the rest is not.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Layout {
    pub(crate) hierarchies: Vec<Hierarchy>,
    pub(crate) obstacles: Vec<(Controller, String)>,
    /// Where hierarchies are mounted, usable or not.
    pub(super) mounts: Vec<PathBuf>,
}

/// Where the server itself goes when its v2 cgroup must not have processes of its own.
const LEAF: &str = "faas-server";

// === impl Layout ===

impl Layout {
    /// Finds the hierarchies of this process and makes `name` below its own cgroup in each.
    pub(crate) fn prepare(name: &str) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let mut layout = Self::default();
        for place in places(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup")) {
            layout.mounts.push(place.mount.clone());
            layout.take(&place, name);
        }
        layout
    }

    /// The place of `controller`, if there is one.
    pub(crate) fn has(&self, controller: Controller) -> bool {
        self.hierarchies.iter().any(|one| one.controllers.contains(&controller))
    }

    /// Why `controller` has no place.
    pub(crate) fn obstacle(&self, controller: Controller) -> &str {
        let found = self.obstacles.iter().find(|(one, _)| *one == controller);
        found.map_or("no mounted hierarchy has this controller", |(_, why)| why)
    }

    /// Removes the directories of this server, which must be empty.
    pub(crate) fn remove(&self) {
        for hierarchy in &self.hierarchies {
            // Another attempt is made by the sweep of the next start.
            let _ = fs::remove_dir(&hierarchy.base);
        }
    }

    fn take(&mut self, place: &Place, name: &str) {
        let place = &place.outside_leaf();
        let wanted: Vec<Controller> = match place.version {
            Version::V1 => place.controllers.clone(),
            Version::V2 => offered(&place.own).into_iter().filter(|one| !self.has(*one)).collect(),
        };
        if wanted.is_empty() {
            return;
        }
        let base = place.own.join(name);
        match make_base(place, &base, &wanted) {
            Ok(()) => self.hierarchies.push(Hierarchy { version: place.version, controllers: wanted, base }),
            Err(error) => {
                let why = format!("cannot create a cgroup in {}: {error}", place.own.display());
                self.obstacles.extend(wanted.into_iter().map(|one| (one, why.clone())));
            }
        }
    }
}

// === impl Place ===

impl Place {
    /// Undoes the step aside of an earlier [`delegate`] by the same server.
    fn outside_leaf(&self) -> Self {
        let mut place = self.clone();
        if self.version == Version::V2 && self.own.file_name().is_some_and(|name| name == LEAF) {
            place.own.pop();
        }
        place
    }
}

/// The controllers that a v2 cgroup may hand to its children.
fn offered(own: &Path) -> Vec<Controller> {
    let names = fs::read_to_string(own.join("cgroup.controllers")).unwrap_or_default();
    let limits = [Controller::Memory, Controller::Pids, Controller::Cpu];
    limits.into_iter().filter(|one| names.split_whitespace().any(|name| name == one.name())).collect()
}

fn make_base(place: &Place, base: &Path, wanted: &[Controller]) -> io::Result<()> {
    if place.version == Version::V2 {
        delegate(&place.own, wanted)?;
    }
    match fs::create_dir(base) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if place.version == Version::V2 {
        enable(base, wanted)?;
    }
    // Entering counts as well: a directory in which no process may be put is of no use.
    fs::OpenOptions::new().write(true).open(base.join("cgroup.procs")).map(drop)
}

/// Hands `wanted` to the children of our own v2 cgroup. Below the root that needs a cgroup without processes of its
/// own, so the server and its spawner step aside into a leaf; processes of others are never moved.
fn delegate(own: &Path, wanted: &[Controller]) -> io::Result<()> {
    match enable(own, wanted) {
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
        other => return other,
    }
    let ours = [std::process::id(), std::os::unix::process::parent_id()];
    let members = fs::read_to_string(own.join("cgroup.procs"))?;
    let members: Vec<u32> = members.lines().filter_map(|line| line.parse().ok()).collect();
    if let Some(stranger) = members.iter().find(|pid| !ours.contains(pid)) {
        return Err(io::Error::other(format!(
            "process {stranger} shares our cgroup; run the server in a cgroup of its own (systemd: Delegate=yes)"
        )));
    }
    let leaf = own.join(LEAF);
    match fs::create_dir(&leaf) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    for pid in members {
        set(&leaf, "cgroup.procs", &pid.to_string())?;
    }
    enable(own, wanted)
}

fn enable(directory: &Path, wanted: &[Controller]) -> io::Result<()> {
    let enabled = fs::read_to_string(directory.join("cgroup.subtree_control"))?;
    for controller in wanted {
        if !enabled.split_whitespace().any(|name| name == controller.name()) {
            set(directory, "cgroup.subtree_control", &format!("+{}", controller.name()))?;
        }
    }
    Ok(())
}
