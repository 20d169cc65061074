//! Whether a connection may be made: one decision for functions, builds and callbacks. Pure.
//!
//! What the operator denies comes first. Then addresses that are not the public internet are shut, unless the operator
//! opened them or granted a private network of them. Then the function's `deny`, then its `allow`; without such a list,
//! everything that is not shut.

use std::fmt;
use std::net::IpAddr;

use faas_types::{EgressHost, EgressPolicy, EgressTarget, NetworkName, ProjectId, Transport};

use crate::HostAddresses;
use crate::shut::{embedded, shut};

/// The port of QUIC, whose names are not read: rules by name let it through only where they say `udp://`, and shut it where
/// they deny.
const QUIC: u16 = 443;

/// The rules of a server's operator.
#[derive(Clone, Debug, Default)]
pub struct OperatorRules {
    /// Targets that no function may reach.
    pub deny: Vec<EgressTarget>,
    /// What is open although it is not the public internet.
    pub open: Vec<EgressTarget>,
    /// Private networks by name.
    pub networks: Vec<GrantedNetwork>,
    /// The setting that opens shut addresses.
    pub open_key: OpenKey,
}

/// The setting of a server that opens shut addresses, by what is ruled on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OpenKey {
    /// Connections of functions.
    #[default]
    Private,
    /// Messages about ended runs.
    Callbacks,
    /// What installs packages.
    Builds,
}

/// A private network that functions ask for by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantedNetwork {
    /// Its name.
    pub name: NetworkName,
    /// What belongs to it.
    pub targets: Vec<EgressTarget>,
    /// The projects that may ask for it; every project when absent.
    pub projects: Option<Vec<ProjectId>>,
}

/// Everything that holds for one sandbox, build or callback.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'r> {
    /// Those of the operator.
    pub operator: &'r OperatorRules,
    /// Those of the function.
    pub policy: &'r EgressPolicy,
    /// Whose function it is; `None` has no private networks.
    pub project: Option<ProjectId>,
    /// What this machine is.
    pub host: &'r HostAddresses,
}

/// Where a connection would lead.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a, N> {
    /// What it is made with.
    pub transport: Transport,
    /// Exactly where it goes.
    pub address: IpAddr,
    /// `None` asks whether any port may be reached.
    pub port: Option<u16>,
    /// Names that led to the address, in lower case.
    pub names: &'a [N],
}

/// What a rule says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Whether the connection may be made.
    pub allowed: bool,
    /// The rule that decided.
    pub rule: Rule,
    /// The setting to change where it should be decided otherwise.
    pub key: &'static str,
}

/// The rule that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A rule of the operator denies it.
    OperatorDeny(EgressTarget),
    /// The address is not the public internet.
    Shut(&'static str),
    /// The address is of a private network that the function may ask for.
    Unasked(NetworkName),
    /// A rule of the function denies it.
    Deny(EgressTarget),
    /// A name is denied, and names of QUIC cannot be seen.
    Unseen(EgressTarget),
    /// A name leads to no address that may be reached, or to nothing.
    Nowhere,
    /// A rule of the function allows it.
    Allow(EgressTarget),
    /// A private network that the function asked for.
    Network(NetworkName),
    /// The function has a list, and no rule of it allows this.
    Unlisted,
    /// The function has no list, and the address is not shut.
    Default,
}

// === impl Rules ===

impl Rules<'_> {
    /// Rules on a connection.
    #[must_use]
    pub fn rule<N: AsRef<str>>(&self, attempt: &Attempt<'_, N>) -> Ruling {
        // A translated address is what it leads to as well: neither form gets around a rule on the other.
        let inside = embedded(attempt.address, self.host).map(IpAddr::V4);
        let ends = || std::iter::once(attempt.address).chain(inside);
        let deny = |rules: &[EgressTarget]| {
            rules.iter().find(|rule| ends().any(|end| attempt.is_denied_by(rule, end))).cloned()
        };
        let unseen = |rules: &[EgressTarget]| rules.iter().find(|rule| attempt.may_be_quic_to(rule)).cloned();
        let own = &self.operator.deny;
        if let Some(rule) = deny(own).map(Rule::OperatorDeny).or_else(|| unseen(own).map(Rule::Unseen)) {
            return Ruling::refused(rule, "egress.deny in the server's configuration");
        }
        if let Some(what) = ends().find_map(|end| self.is_shut(attempt, end)) {
            return match self.unasked(attempt) {
                Some(network) => Ruling::refused(Rule::Unasked(network), self.policy.source.networks_key()),
                None => Ruling::refused(Rule::Shut(what), self.operator.open_key.as_str()),
            };
        }
        let own = &self.policy.deny;
        if let Some(rule) = deny(own).map(Rule::Deny).or_else(|| unseen(own).map(Rule::Unseen)) {
            return Ruling::refused(rule, self.policy.source.deny_key());
        }
        self.allows(attempt)
    }

    fn allows<N: AsRef<str>>(&self, attempt: &Attempt<'_, N>) -> Ruling {
        let granted =
            self.granted().find(|(_, rule)| attempt.is_let_by(rule, attempt.address)).map(|(name, _)| name.clone());
        let (rule, allowed) = match (granted, &self.policy.allow) {
            (Some(name), _) => (Rule::Network(name), true),
            (None, None) => (Rule::Default, true),
            (None, Some(list)) => {
                // By address where both would do: names have to be checked again in what the client sends.
                let fits = |by_name: bool| {
                    list.iter()
                        .find(|rule| rule.is_by_name() == by_name && attempt.is_let_by(rule, attempt.address))
                        .cloned()
                };
                fits(false).or_else(|| fits(true)).map_or((Rule::Unlisted, false), |rule| (Rule::Allow(rule), true))
            }
        };
        Ruling { allowed, rule, key: self.policy.source.allow_key() }
    }

    /// What an address is that is shut for this attempt.
    fn is_shut<N: AsRef<str>>(&self, attempt: &Attempt<'_, N>, end: IpAddr) -> Option<&'static str> {
        let what = shut(end, self.host)?;
        // A network that happens to hold the server itself does not open it; one within the loopback network is meant so.
        let narrowest = match end {
            IpAddr::V4(end) if end.is_loopback() => 8,
            IpAddr::V6(end) if end.is_loopback() => 128,
            end if !self.host.is_own(end) => 0,
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        let opens = |rule: &EgressTarget| {
            let is_meant = match &rule.host {
                EgressHost::Network { bits, .. } => u32::from(*bits) >= narrowest,
                _ => true,
            };
            is_meant && attempt.is_let_by(rule, end)
        };
        let is_open = self.operator.open.iter().any(opens) || self.granted().any(|(_, rule)| opens(rule));
        (!is_open).then_some(what)
    }

    /// A private network that holds this address, that the project may have and that the function has not asked for.
    fn unasked<N: AsRef<str>>(&self, attempt: &Attempt<'_, N>) -> Option<NetworkName> {
        let project = self.project?;
        let holds = |network: &&GrantedNetwork| {
            network.is_for(project)
                && !self.policy.networks.contains(&network.name)
                && network.targets.iter().any(|rule| attempt.is_let_by(rule, attempt.address))
        };
        self.operator.networks.iter().find(holds).map(|network| network.name.clone())
    }

    /// The rules of private networks that the function asked for and its project may have.
    fn granted(&self) -> impl Iterator<Item = (&NetworkName, &EgressTarget)> {
        let asked = self.operator.networks.iter().filter(|network| {
            let is_for = |project| network.is_for(project);
            self.policy.networks.contains(&network.name) && self.project.is_some_and(is_for)
        });
        asked.flat_map(|network| network.targets.iter().map(move |rule| (&network.name, rule)))
    }

    /// Whether a name may be looked up, in lower case, for a connection of a kind where that is known. Names that no rule
    /// is about are not looked up at all, for a look-up carries the name out; a rule on every address is about every name.
    #[must_use]
    pub fn rule_on_name(&self, name: &str, to: Option<(Transport, u16)>) -> Ruling {
        // Some ports of a name may be denied and others not.
        let denies = |rule: &&EgressTarget| {
            let is_whole = rule.ports.is_none() && rule.transport.is_none();
            rule.host.has_name(name) && to.map_or(is_whole, |(transport, port)| fits_kind(rule, transport, port))
        };
        let allows = |rule: &EgressTarget| {
            let is_for_all = matches!(rule.host, EgressHost::Network { bits: 0, .. });
            (is_for_all || rule.host.has_name(name))
                && to.is_none_or(|(transport, port)| fits_kind(rule, transport, port))
        };
        if let Some(rule) = self.operator.deny.iter().find(denies) {
            return Ruling::refused(Rule::OperatorDeny(rule.clone()), "egress.deny in the server's configuration");
        }
        if let Some(rule) = self.policy.deny.iter().find(denies) {
            return Ruling::refused(Rule::Deny(rule.clone()), self.policy.source.deny_key());
        }
        let key = self.policy.source.allow_key();
        let Some(list) = &self.policy.allow else { return Ruling { allowed: true, rule: Rule::Default, key } };
        if let Some(rule) = list.iter().find(|rule| allows(rule)) {
            return Ruling { allowed: true, rule: Rule::Allow(rule.clone()), key };
        }
        if let Some((network, _)) = self.granted().find(|(_, rule)| allows(rule)) {
            return Ruling { allowed: true, rule: Rule::Network(network.clone()), key };
        }
        Ruling { allowed: false, rule: Rule::Unlisted, key }
    }

    /// Whether the name that a client gives has to be looked at before a connection may go on: where it is made for its
    /// names alone, whichever rule is by name, and where a name is denied that may be behind any address.
    #[must_use]
    pub fn must_check_name<N: AsRef<str>>(&self, attempt: &Attempt<'_, N>) -> bool {
        let without = Attempt { names: &attempt.names[..0], ..*attempt };
        let is_about = |rule: &EgressTarget| {
            rule.is_by_name() && attempt.port.is_none_or(|port| fits_kind(rule, attempt.transport, port))
        };
        self.operator.deny.iter().chain(&self.policy.deny).any(is_about) || !self.rule(&without).allowed
    }
}

fn fits_kind(rule: &EgressTarget, transport: Transport, port: u16) -> bool {
    rule.has_transport(transport) && rule.has_port(port)
}

// === impl GrantedNetwork ===

impl GrantedNetwork {
    /// Whether functions of a project may ask for it.
    #[must_use]
    pub fn is_for(&self, project: ProjectId) -> bool {
        self.projects.as_ref().is_none_or(|projects| projects.contains(&project))
    }
}

// === impl Attempt ===

impl<N: AsRef<str>> Attempt<'_, N> {
    /// Whether a rule is about this connection, taken as one to `end`.
    fn fits(&self, rule: &EgressTarget, end: IpAddr) -> bool {
        rule.has_transport(self.transport)
            && self.port.is_none_or(|port| rule.has_port(port))
            && (rule.host.has_address(end) || self.names.iter().any(|name| rule.host.has_name(name.as_ref())))
    }

    fn is_denied_by(&self, rule: &EgressTarget, end: IpAddr) -> bool {
        // That one port is denied does not deny the address.
        (self.port.is_some() || rule.ports.is_none()) && self.fits(rule, end)
    }

    /// Whether a rule lets this connection through, or opens an address that it ends at.
    fn is_let_by(&self, rule: &EgressTarget, end: IpAddr) -> bool {
        self.fits(rule, end) && !(self.is_quic() && rule.is_by_name() && rule.transport.is_none())
    }

    /// Whether it could be a QUIC connection to a name that a rule denies, whatever name led to the address.
    fn may_be_quic_to(&self, rule: &EgressTarget) -> bool {
        self.is_quic() && rule.is_by_name() && fits_kind(rule, Transport::Udp, QUIC)
    }

    fn is_quic(&self) -> bool {
        self.transport == Transport::Udp && self.port == Some(QUIC)
    }
}

// === impl Ruling ===

impl Ruling {
    fn refused(rule: Rule, key: &'static str) -> Self {
        Self { allowed: false, rule, key }
    }
}

// === impl OpenKey ===

impl OpenKey {
    /// The setting, as messages name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Private => "egress.private in the server's configuration",
            Self::Callbacks => "callbacks.allow in the server's configuration",
            Self::Builds => "build.allow in the server's configuration",
        }
    }
}

// === impl Rule ===

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OperatorDeny(rule) => write!(f, "the server's operator denies {rule}"),
            Self::Shut(what) => write!(f, "the address is not of the public internet: {what}"),
            Self::Unasked(name) => {
                write!(f, "the address is of the private network {name}, which the function does not ask for")
            }
            Self::Deny(rule) => write!(f, "the function denies {rule}"),
            Self::Unseen(rule) => write!(f, "{rule} is denied, and QUIC does not show which name it is for"),
            Self::Nowhere => f.write_str("the name has no address of the public internet"),
            Self::Allow(rule) => write!(f, "the function allows {rule}"),
            Self::Network(name) => write!(f, "private network {name}"),
            Self::Unlisted => f.write_str("no rule of the function allows it"),
            Self::Default => f.write_str("the public internet is allowed"),
        }
    }
}

#[cfg(test)]
mod tests;
