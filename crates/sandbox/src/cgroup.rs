//! Limits and accounts of a whole process tree, on cgroup v1, v2 and mixed hierarchies.

mod controller;
mod layout;
mod meter;
mod mounts;
mod sweep;

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) use controller::{Controller, Version};
pub(crate) use layout::Layout;
pub(crate) use meter::Meter;
pub(crate) use sweep::sweep;

use crate::limits::Limits;

/// The cgroup of one sandbox: a directory in each hierarchy. The kernel keeps it; this value only names it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cgroup {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Part {
    version: Version,
    controllers: Vec<Controller>,
    directory: PathBuf,
}

/// What a cgroup has counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Account {
    pub(crate) peak_memory_bytes: Option<u64>,
    pub(crate) cpu_us: Option<u64>,
    /// Processes that the memory limit has killed.
    pub(crate) oom_kills: u64,
}

/// Writes one value to a control file in one `write`, as the kernel wants it.
fn set(directory: &Path, file: &str, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(directory.join(file))?.write_all(value.as_bytes())
}

fn read_number(directory: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(directory.join(file)).ok()?.trim().parse().ok()
}

/// The number behind `key` in a file of `key number` lines.
fn read_keyed(directory: &Path, file: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(directory.join(file)).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

// === impl Cgroup ===

impl Cgroup {
    /// Makes the directories and sets the limits; leaves nothing behind when that fails.
    pub(crate) fn create(layout: &Layout, name: &str, limits: &Limits) -> io::Result<Self> {
        let mut made = Self { parts: Vec::with_capacity(layout.hierarchies.len()) };
        for hierarchy in &layout.hierarchies {
            let directory = hierarchy.base.join(name);
            let outcome = fs::create_dir(&directory).and_then(|()| {
                let part = Part { version: hierarchy.version, controllers: hierarchy.controllers.clone(), directory };
                let outcome = part.limit(limits);
                made.parts.push(part);
                outcome
            });
            if let Err(error) = outcome {
                made.remove();
                return Err(error);
            }
        }
        Ok(made)
    }

    /// Changes the limits of memory and CPU; what is the same is not written.
    pub(crate) fn adjust(&self, from: &Limits, to: &Limits) -> io::Result<()> {
        self.parts.iter().try_for_each(|part| part.adjust(from, to))
    }

    /// Opens the files to which a process writes `0` to join. The kernel judges such a write by who opened the file,
    /// so that a child which has given up its privileges can still join.
    pub(crate) fn entrances(&self) -> io::Result<Vec<File>> {
        self.parts.iter().map(|part| OpenOptions::new().write(true).open(part.directory.join("cgroup.procs"))).collect()
    }

    /// The directory for `CLONE_INTO_CGROUP`, when one v2 hierarchy holds everything.
    pub(crate) fn single_v2(&self) -> Option<io::Result<File>> {
        match self.parts.as_slice() {
            [only] if only.version == Version::V2 => Some(File::open(&only.directory)),
            _ => None,
        }
    }

    /// Reads the counters.
    pub(crate) fn account(&self) -> Account {
        let mut sum = Account::default();
        for part in &self.parts {
            part.count(&mut sum);
        }
        sum
    }

    /// The processes inside.
    pub(crate) fn processes(&self) -> Option<Vec<u32>> {
        let list = fs::read_to_string(self.parts.first()?.directory.join("cgroup.procs")).ok()?;
        list.lines().map(|line| line.parse().ok()).collect()
    }

    /// How many threads are alive inside, those of all processes.
    pub(crate) fn threads(&self) -> Option<usize> {
        let part = self.parts.first()?;
        let list = match part.version {
            Version::V1 => "tasks",
            Version::V2 => "cgroup.threads",
        };
        Some(fs::read_to_string(part.directory.join(list)).ok()?.lines().count())
    }

    /// Removes the directories; false while some process or zombie is still inside.
    pub(crate) fn remove(&self) -> bool {
        let is_left = |part: &&Part| match fs::remove_dir(&part.directory) {
            Ok(()) => false,
            Err(error) => error.kind() != ErrorKind::NotFound,
        };
        // Counted, so that one that is left does not keep the others from being removed.
        self.parts.iter().filter(is_left).count() == 0
    }
}

// === impl Part ===

impl Part {
    fn limit(&self, limits: &Limits) -> io::Result<()> {
        for controller in &self.controllers {
            match (controller, self.version) {
                (Controller::Memory, Version::V1) => self.limit_memory_v1(limits.memory_bytes)?,
                (Controller::Memory, Version::V2) => self.limit_memory_v2(limits.memory_bytes)?,
                // One more for the sandbox's own first process.
                (Controller::Pids, _) => set(&self.directory, "pids.max", &(u64::from(limits.pids) + 1).to_string())?,
                (Controller::Cpu, _) => self.limit_cpu(limits)?,
                (Controller::Cpuacct, _) => {}
            }
        }
        Ok(())
    }

    fn adjust(&self, from: &Limits, to: &Limits) -> io::Result<()> {
        for controller in &self.controllers {
            match (controller, self.version) {
                (Controller::Memory, Version::V1) if from.memory_bytes < to.memory_bytes => {
                    // Memory may never be allowed more than memory and swap together.
                    self.limit_swap_v1(to.memory_bytes)?;
                    self.limit_memory_v1(to.memory_bytes)?;
                }
                (Controller::Memory, Version::V1) if from.memory_bytes > to.memory_bytes => {
                    self.limit_memory_v1(to.memory_bytes)?;
                }
                (Controller::Memory, Version::V2) if from.memory_bytes != to.memory_bytes => {
                    self.limit_memory_v2(to.memory_bytes)?;
                }
                (Controller::Cpu, _) if from.cpu_millis != to.cpu_millis => self.limit_cpu(to)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn limit_memory_v1(&self, bytes: u64) -> io::Result<()> {
        set(&self.directory, "memory.limit_in_bytes", &bytes.to_string())?;
        self.limit_swap_v1(bytes)
    }

    fn limit_swap_v1(&self, bytes: u64) -> io::Result<()> {
        match set(&self.directory, "memory.memsw.limit_in_bytes", &bytes.to_string()) {
            // The kernel counts swap only when told so at boot.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn limit_memory_v2(&self, bytes: u64) -> io::Result<()> {
        set(&self.directory, "memory.max", &bytes.to_string())?;
        match set(&self.directory, "memory.swap.max", "0") {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn limit_cpu(&self, limits: &Limits) -> io::Result<()> {
        // The kernel refuses quotas below a millisecond.
        let quota = (u64::from(limits.cpu_millis) * limits.cpu_period_us / 1000).max(1000);
        match self.version {
            Version::V1 => {
                set(&self.directory, "cpu.cfs_period_us", &limits.cpu_period_us.to_string())?;
                set(&self.directory, "cpu.cfs_quota_us", &quota.to_string())
            }
            Version::V2 => set(&self.directory, "cpu.max", &format!("{quota} {}", limits.cpu_period_us)),
        }
    }

    fn count(&self, sum: &mut Account) {
        let directory = self.directory.as_path();
        for controller in &self.controllers {
            match (controller, self.version) {
                (Controller::Memory, Version::V1) => {
                    sum.peak_memory_bytes = read_number(directory, "memory.max_usage_in_bytes");
                    sum.oom_kills = read_keyed(directory, "memory.oom_control", "oom_kill").unwrap_or(0);
                }
                (Controller::Memory, Version::V2) => {
                    sum.peak_memory_bytes = read_number(directory, "memory.peak");
                    sum.oom_kills = read_keyed(directory, "memory.events", "oom_kill").unwrap_or(0);
                }
                (Controller::Cpuacct, _) => sum.cpu_us = read_number(directory, "cpuacct.usage").map(|ns| ns / 1000),
                (Controller::Cpu, Version::V2) => sum.cpu_us = read_keyed(directory, "cpu.stat", "usage_usec"),
                (Controller::Cpu, Version::V1) | (Controller::Pids, _) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { memory_bytes: 1 << 20, cpu_millis: 500, cpu_period_us: 100_000, pids: 7, tmp_bytes: 0, open_files: 0 }
    }

    #[test]
    fn a_v2_part_writes_the_unified_files() -> anyhow::Result<()> {
        let home = tempfile::tempdir()?;
        for file in ["memory.max", "memory.swap.max", "pids.max", "cpu.max"] {
            fs::write(home.path().join(file), "")?;
        }
        fs::write(home.path().join("memory.events"), "low 0\noom 3\noom_kill 2\noom_group_kill 0\n")?;
        fs::write(home.path().join("memory.peak"), "4096\n")?;
        fs::write(home.path().join("cpu.stat"), "usage_usec 77\nuser_usec 70\n")?;
        let part = Part {
            version: Version::V2,
            controllers: vec![Controller::Memory, Controller::Pids, Controller::Cpu],
            directory: home.path().to_owned(),
        };
        part.limit(&limits())?;
        let read = |file: &str| fs::read_to_string(home.path().join(file));
        assert_eq!(read("memory.max")?, "1048576");
        assert_eq!(read("memory.swap.max")?, "0");
        assert_eq!(read("pids.max")?, "8");
        assert_eq!(read("cpu.max")?, "50000 100000");
        let mut account = Account::default();
        part.count(&mut account);
        assert_eq!((account.peak_memory_bytes, account.cpu_us, account.oom_kills), (Some(4096), Some(77), 2));
        Ok(())
    }
}
