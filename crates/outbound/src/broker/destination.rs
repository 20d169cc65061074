//! Where a connection leads, and what the rules say of it.

use std::net::IpAddr;

use faas_types::Transport;

use crate::{Attempt, Rules, Ruling};

/// Where a connection leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Destination {
    pub(super) transport: Transport,
    pub(super) address: IpAddr,
    pub(super) port: u16,
}

// === impl Destination ===

impl Destination {
    pub(super) fn ruled<N: AsRef<str>>(self, rules: &Rules<'_>, names: &[N]) -> Ruling {
        rules.rule(&self.attempt(names))
    }

    pub(super) fn must_check_name<N: AsRef<str>>(self, rules: &Rules<'_>, names: &[N]) -> bool {
        self.transport == Transport::Tcp && rules.must_check_name(&self.attempt(names))
    }

    pub(super) fn attempt<N: AsRef<str>>(self, names: &[N]) -> Attempt<'_, N> {
        Attempt { transport: self.transport, address: self.address, port: Some(self.port), names }
    }
}
