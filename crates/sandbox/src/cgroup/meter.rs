//! What a living cgroup has used, read often and cheaply.

use std::fs::File;
use std::os::unix::fs::FileExt;

use faas_ports::SandboxUsage;

use super::{Cgroup, Controller, Part, Version};

/// The counters of one cgroup, kept open. Costs three descriptors; they do not keep the cgroup from being removed, after
/// which there is nothing to read.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    peak: Option<File>,
    cpu: Option<Clock>,
    tasks: Option<File>,
}

/// Where the CPU time is.
#[derive(Debug)]
enum Clock {
    /// A file with nothing but nanoseconds.
    Nanoseconds(File),
    /// A file that begins with `usage_usec` and microseconds.
    Stat(File),
}

/// Longer than any number with its name.
const LINE_MAX: usize = 64;

// === impl Meter ===

impl Meter {
    /// Opens what there is.
    pub(crate) fn open(cgroup: &Cgroup) -> Self {
        let mut meter = Self::default();
        for part in &cgroup.parts {
            meter.take(part);
        }
        meter
    }

    /// Reads the counters.
    pub(crate) fn read(&self) -> SandboxUsage {
        SandboxUsage {
            peak_memory_bytes: self.peak.as_ref().and_then(|file| number(file, "")),
            cpu_us: self.cpu.as_ref().and_then(|clock| match clock {
                Clock::Nanoseconds(file) => number(file, "").map(|time| time / 1000),
                Clock::Stat(file) => number(file, "usage_usec "),
            }),
        }
    }

    /// Processes and threads inside.
    pub(crate) fn tasks(&self) -> Option<u32> {
        number(self.tasks.as_ref()?, "").and_then(|count| count.try_into().ok())
    }

    fn take(&mut self, part: &Part) {
        let open = |name: &str| File::open(part.directory.join(name)).ok();
        for controller in &part.controllers {
            match (controller, part.version) {
                (Controller::Memory, Version::V1) => self.peak = open("memory.max_usage_in_bytes"),
                (Controller::Memory, Version::V2) => self.peak = open("memory.peak"),
                (Controller::Cpuacct, _) => self.cpu = open("cpuacct.usage").map(Clock::Nanoseconds),
                (Controller::Cpu, Version::V2) => self.cpu = open("cpu.stat").map(Clock::Stat),
                (Controller::Pids, _) => self.tasks = open("pids.current"),
                (Controller::Cpu, Version::V1) => {}
            }
        }
    }
}

/// The number after `name` at the start of a file.
fn number(file: &File, name: &str) -> Option<u64> {
    let mut bytes = [0; LINE_MAX];
    let length = file.read_at(&mut bytes, 0).ok()?;
    let text = bytes[..length].strip_prefix(name.as_bytes())?;
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&text[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn both_versions_are_read_anew_each_time() -> anyhow::Result<()> {
        let home = tempfile::tempdir()?;
        let part = |version, controllers| Part { version, controllers, directory: home.path().to_owned() };
        fs::write(home.path().join("memory.peak"), "4096\n")?;
        fs::write(home.path().join("cpu.stat"), format!("usage_usec 77\nuser_usec 70\n{}\n", "x".repeat(LINE_MAX)))?;
        fs::write(home.path().join("memory.max_usage_in_bytes"), "8192\n")?;
        fs::write(home.path().join("cpuacct.usage"), "5000\n")?;
        let unified = Cgroup { parts: vec![part(Version::V2, vec![Controller::Memory, Controller::Cpu])] };
        let usage = |peak, cpu| SandboxUsage { peak_memory_bytes: Some(peak), cpu_us: Some(cpu) };
        assert_eq!(Meter::open(&unified).read(), usage(4096, 77));
        let old = vec![part(Version::V1, vec![Controller::Memory]), part(Version::V1, vec![Controller::Cpuacct])];
        let meter = Meter::open(&Cgroup { parts: old });
        assert_eq!(meter.read(), usage(8192, 5));
        fs::write(home.path().join("pids.current"), "3\n")?;
        assert_eq!(meter.tasks(), None, "not counted here");
        assert_eq!(Meter::open(&Cgroup { parts: vec![part(Version::V2, vec![Controller::Pids])] }).tasks(), Some(3));
        fs::write(home.path().join("cpuacct.usage"), "9000\n")?;
        assert_eq!(meter.read(), usage(8192, 9));
        Ok(())
    }
}
