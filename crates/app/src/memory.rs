//! The default memory budget of instances.

use std::fs;
use std::path::Path;

use faas_types::ByteSize;

/// Tenths of the machine's memory that instances get; the rest is for the server, the kernel and other programs.
const TENTHS: u64 = 8;

/// The share of this machine's memory that instances may hold together: of all it has, or of what a cgroup leaves this
/// process. Unlimited where neither can be read.
pub(crate) fn share() -> ByteSize {
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = cgroups.lines().filter_map(|line| limit(Path::new("/sys/fs/cgroup"), line));
    let total = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    ByteSize::from_bytes(limits.chain(total).min().map_or(u64::MAX, |bytes| bytes / 10 * TENTHS))
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

/// The limit that one line of `/proc/self/cgroup` leads to.
fn limit(root: &Path, line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
    let file = match controllers {
        "" => root.join(path).join("memory.max"),
        _ if controllers.split(',').any(|name| name == "memory") => {
            root.join("memory").join(path).join("memory.limit_in_bytes")
        }
        _ => return None,
    };
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_and_both_kinds_of_cgroups_are_understood() -> std::io::Result<()> {
        assert_eq!(total("MemTotal:       24684092 kB\nMemFree: 1 kB\n"), Some(24_684_092 << 10));
        let root = tempfile::tempdir()?;
        for (folder, file, text) in [("memory/a", "memory.limit_in_bytes", "1024\n"), ("b", "memory.max", "2048\n")] {
            fs::create_dir_all(root.path().join(folder))?;
            fs::write(root.path().join(folder).join(file), text)?;
        }
        assert_eq!(limit(root.path(), "4:cpu,memory:/a"), Some(1024));
        assert_eq!(limit(root.path(), "0::/b"), Some(2048));
        assert_eq!(limit(root.path(), "3:cpuset:/a"), None);
        fs::write(root.path().join("b/memory.max"), "max\n")?;
        assert_eq!(limit(root.path(), "0::/b"), None, "no limit");
        Ok(())
    }
}
