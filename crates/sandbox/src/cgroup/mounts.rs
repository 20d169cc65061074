//! Reads where hierarchies are mounted and where a process is in them.

use std::path::{Path, PathBuf};

use super::controller::{Controller, Version};

/// A mounted hierarchy and the directory of our own cgroup in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) version: Version,
    /// The controllers of a v1 hierarchy. What a v2 one offers is read from its files.
    pub(super) controllers: Vec<Controller>,
    pub(super) own: PathBuf,
    /// Where the hierarchy is mounted.
    pub(super) mount: PathBuf,
}

/// Combines `/proc/self/mountinfo` and `/proc/self/cgroup`; see proc(5) and cgroups(7).
pub(super) fn places(mountinfo: &str, own_cgroups: &str) -> Vec<Place> {
    let mut found: Vec<Place> = Vec::new();
    for line in mountinfo.lines() {
        // The same hierarchy is often mounted twice; the first one will do.
        if let Some(place) = place(line, own_cgroups)
            && !found.iter().any(|other| other.version == place.version && other.controllers == place.controllers)
        {
            found.push(place);
        }
    }
    found
}

fn place(line: &str, own_cgroups: &str) -> Option<Place> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mount: Vec<&str> = mount.split(' ').collect();
    let filesystem: Vec<&str> = filesystem.split(' ').collect();
    let (root, target) = (unescape(mount.get(3)?), unescape(mount.get(4)?));
    let (version, names) = match *filesystem.first()? {
        "cgroup" => (Version::V1, filesystem.get(2)?.split(',').collect()),
        "cgroup2" => (Version::V2, Vec::new()),
        _ => return None,
    };
    let controllers: Vec<Controller> = Controller::ALL.into_iter().filter(|one| names.contains(&one.name())).collect();
    if version == Version::V1 && controllers.is_empty() {
        return None;
    }
    let path = own_cgroups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (joined, path) = (fields.next()?, fields.next()?);
        let same = match version {
            Version::V1 => joined.split(',').any(|name| controllers.iter().any(|one| one.name() == name)),
            Version::V2 => joined.is_empty(),
        };
        same.then_some(path)
    })?;
    // Outside of what this mount shows there is nothing that could be written.
    let below = Path::new(path).strip_prefix(&root).ok()?;
    if below.components().any(|part| part.as_os_str() == "..") {
        return None;
    }
    let mount = PathBuf::from(target);
    Some(Place { version, controllers, own: mount.join(below), mount })
}

/// Undoes the octal escapes of mountinfo.
fn unescape(field: &str) -> String {
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separate_v1_hierarchies_beside_an_empty_v2_one() {
        let mountinfo = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";
        let own = "4:memory:/jobs/one\n1:cpu:/\n6:freezer:/\n0::/";
        let place = |version, controllers: &[Controller], mount: &str, below: &str| Place {
            version,
            controllers: controllers.to_vec(),
            own: Path::new(mount).join(below),
            mount: PathBuf::from(mount),
        };
        assert_eq!(
            places(mountinfo, own),
            [
                place(Version::V1, &[Controller::Cpu], "/sys/fs/cgroup/cpu", ""),
                place(Version::V1, &[Controller::Memory], "/sys/fs/cgroup/memory", "jobs/one"),
                place(Version::V2, &[], "/sys/fs/cgroup/unified", ""),
            ]
        );
    }

    #[test]
    fn combined_controllers_and_a_container_that_sees_a_part() {
        let mountinfo = "\
40 30 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro master:1 - cgroup cgroup rw,cpu,cpuacct
41 30 0:30 /other /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids";
        let own = "3:pids:/docker/abc\n2:cpu,cpuacct:/docker/abc/inner\n0::/../elsewhere";
        let found = places(mountinfo, own);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].own, Path::new("/sys/fs/cgroup/cpu,cpuacct/inner"));
        assert_eq!(found[0].controllers, [Controller::Cpu, Controller::Cpuacct]);
    }
}
