//! How strongly a sandbox confines what runs in it.

use serde::{Deserialize, Serialize};

/// The strength of a sandbox, as recorded on every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum IsolationLevel {
    /// A plain process; only with `--unsafe-no-isolation`.
    Process = 0,
    /// Namespaces, private root and seccomp, but some limit cannot be enforced here.
    Partial = 1,
    /// Everything: namespaces, sealed root, seccomp, no capabilities and cgroup limits.
    Full = 2,
}

/// One thing that a sandbox enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// Own user namespace with a single, powerless user.
    UserNamespace,
    /// Own mount namespace, `pivot_root` onto sealed layers.
    MountNamespace,
    /// Own process numbers; the whole tree dies with the sandbox.
    PidNamespace,
    /// Own network stack, empty by default.
    NetNamespace,
    /// Own System V and POSIX message queues.
    IpcNamespace,
    /// Own host name.
    UtsNamespace,
    /// Own view of the cgroup tree.
    CgroupNamespace,
    /// Private `/tmp` with a size limit.
    PrivateTmp,
    /// `/proc` of the own namespace with sensitive entries masked.
    MaskedProc,
    /// `no_new_privs` and empty capability sets.
    NoPrivileges,
    /// System call allow-list.
    Seccomp,
    /// Resource limits of each process.
    Rlimits,
    /// Another user of the host than the server and than any other sandbox: what the kernel counts by user is its own.
    HostUser,
    /// Memory limit of the whole tree.
    CgroupMemory,
    /// Process count limit of the whole tree.
    CgroupPids,
    /// CPU share of the whole tree.
    CgroupCpu,
    /// Network device for functions that ask for one: nothing that confines, and so without effect on the level.
    Egress,
    /// What the server's own helper programs, such as git, may reach. Sandboxes do without it.
    Landlock,
}

/// The outcome of trying one [`Feature`] in a throwaway sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What was tried.
    pub feature: Feature,
    /// Whether it holds.
    pub enforced: bool,
    /// What was seen, in one line.
    pub detail: String,
    /// What to do when it does not hold.
    pub fix: Option<String>,
}

/// What this machine can enforce, as `faas doctor` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsolationReport {
    /// The level that sandboxes get.
    pub level: IsolationLevel,
    /// One probe per feature.
    pub probes: Vec<Probe>,
}

// === impl IsolationLevel ===

impl From<IsolationLevel> for u8 {
    fn from(level: IsolationLevel) -> Self {
        level as Self
    }
}

impl TryFrom<u8> for IsolationLevel {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            0 => Ok(Self::Process),
            1 => Ok(Self::Partial),
            2 => Ok(Self::Full),
            other => Err(format!("{other} is not an isolation level; levels are 0, 1 and 2")),
        }
    }
}

impl std::fmt::Display for IsolationLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", u8::from(*self))
    }
}

// === impl Feature ===

impl Feature {
    /// What confines, in the order in which a report lists it.
    pub const CONFINING: [Self; 16] = [
        Self::UserNamespace,
        Self::MountNamespace,
        Self::PidNamespace,
        Self::NetNamespace,
        Self::IpcNamespace,
        Self::UtsNamespace,
        Self::CgroupNamespace,
        Self::PrivateTmp,
        Self::MaskedProc,
        Self::NoPrivileges,
        Self::Seccomp,
        Self::Rlimits,
        Self::HostUser,
        Self::CgroupMemory,
        Self::CgroupPids,
        Self::CgroupCpu,
    ];

    /// Features that limits of a whole tree need; without one of them the level is [`IsolationLevel::Partial`].
    #[must_use]
    pub fn is_limit(self) -> bool {
        matches!(self, Self::CgroupMemory | Self::CgroupPids | Self::CgroupCpu | Self::CgroupNamespace | Self::HostUser)
    }
}

// === impl IsolationReport ===

impl IsolationReport {
    /// Derives the level: full when everything holds, partial when only limits are missing, otherwise none.
    #[must_use]
    pub fn from_probes(probes: Vec<Probe>) -> Self {
        let confining = || probes.iter().filter(|p| Feature::CONFINING.contains(&p.feature));
        let missing = |limits_only: bool| confining().any(|p| !p.enforced && p.feature.is_limit() == limits_only);
        let complete = Feature::CONFINING.iter().all(|f| probes.iter().any(|p| p.feature == *f));
        let level = match (complete && !missing(false), missing(true)) {
            (true, false) => IsolationLevel::Full,
            (true, true) => IsolationLevel::Partial,
            (false, _) => IsolationLevel::Process,
        };
        Self { level, probes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probes(missing: &[Feature]) -> Vec<Probe> {
        let all = Feature::CONFINING.into_iter().chain([Feature::Egress]);
        all.map(|feature| Probe { feature, enforced: !missing.contains(&feature), detail: String::new(), fix: None })
            .collect()
    }

    #[test]
    fn the_level_follows_what_is_missing() {
        let level = |missing: &[Feature]| IsolationReport::from_probes(probes(missing)).level;
        assert_eq!(level(&[]), IsolationLevel::Full);
        assert_eq!(level(&[Feature::CgroupMemory]), IsolationLevel::Partial);
        assert_eq!(level(&[Feature::HostUser]), IsolationLevel::Partial);
        assert_eq!(level(&[Feature::Seccomp]), IsolationLevel::Process);
        assert_eq!(level(&[Feature::Egress]), IsolationLevel::Full);
        let landlock = Probe { feature: Feature::Landlock, enforced: false, detail: String::new(), fix: None };
        let report = IsolationReport::from_probes(probes(&[]).into_iter().chain([landlock]).collect());
        assert_eq!(report.level, IsolationLevel::Full, "it is for helpers");
        assert_eq!(IsolationReport::from_probes(Vec::new()).level, IsolationLevel::Process);
    }
}
