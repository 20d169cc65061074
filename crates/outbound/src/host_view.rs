//! Reads the addresses of this machine, and looks up how its site translates IPv4.

use std::net::{IpAddr, SocketAddr};
use std::ops::DerefMut;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use crate::host_addresses::HostAddresses;
use crate::local_routes::{self, LocalNetwork};
use crate::resolver::Upstream;
use crate::source_addresses::SourceAddresses;

/// How long what was read counts: addresses come and go with interfaces.
const FRESH: Duration = Duration::from_secs(5);
/// How often the translation of the site is looked up.
const TRANSLATION: Duration = Duration::from_secs(3_600);
/// The same after no name server answered.
const TRANSLATION_FAILED: Duration = Duration::from_secs(60);

/// What is known of this machine, for functions, builds and callbacks alike. What cannot be read again stays as it was.
#[derive(Debug)]
pub struct HostView {
    known: RwLock<Arc<HostAddresses>>,
    /// Where names are looked up.
    pub(crate) upstream: Arc<Upstream>,
    source: SourceAddresses,
    /// When the addresses are to be read again.
    stale: Mutex<Instant>,
    /// Held by the one that reads them.
    reading: tokio::sync::Mutex<()>,
    /// When the site's translation is to be looked up again; held by the one that does.
    translation: Arc<tokio::sync::Mutex<Option<Instant>>>,
}

// === impl HostView ===

impl Default for HostView {
    fn default() -> Self {
        Self::new(Vec::new(), SourceAddresses::default())
    }
}

impl HostView {
    /// A view that looks names up at these servers, or at the machine's if the list is empty. Reads the addresses once.
    #[must_use]
    pub fn new(resolvers: Vec<SocketAddr>, source: SourceAddresses) -> Self {
        let own = interfaces().unwrap_or_default();
        let routed = routes().unwrap_or_default();
        let has_ipv6 = source.has_v6() && leads_out(&own);
        Self {
            known: RwLock::new(Arc::new(HostAddresses { own, routed, nat64: None, has_ipv6 })),
            upstream: Arc::new(Upstream::new(resolvers)),
            source,
            stale: Mutex::new(Instant::now() + FRESH),
            reading: tokio::sync::Mutex::default(),
            translation: Arc::default(),
        }
    }

    /// A view that never changes.
    #[cfg(test)]
    pub(crate) fn fixed(addresses: HostAddresses) -> Arc<Self> {
        let far = Instant::now() + Duration::from_secs(3_600);
        let translation = Arc::new(tokio::sync::Mutex::new(Some(far)));
        Arc::new(Self { translation, ..Self::of(addresses, Vec::new(), far) })
    }

    /// A view of these addresses, until they are read at this time.
    #[cfg(test)]
    fn of(addresses: HostAddresses, resolvers: Vec<SocketAddr>, stale: Instant) -> Self {
        let view = Self::new(resolvers, SourceAddresses::default());
        Self { known: RwLock::new(Arc::new(addresses)), stale: Mutex::new(stale), ..view }
    }

    /// What is known. Costs nothing.
    #[must_use]
    pub fn known(&self) -> Arc<HostAddresses> {
        Arc::clone(&self.known.read())
    }

    /// Reads missing and outdated facts before connections are decided on. How the site translates
    /// is waited for only as long as it was never known.
    pub async fn refresh(self: &Arc<Self>) {
        if *self.stale.lock() <= Instant::now() {
            self.read().await;
        }
        let known = self.known();
        if !known.has_ipv6 {
            return;
        }
        if known.nat64.is_none() {
            let until = self.translation.lock().await;
            if is_due(*until) {
                self.learn_translation(until).await;
            }
        } else if let Ok(until) = Arc::clone(&self.translation).try_lock_owned()
            && is_due(*until)
        {
            let view = Arc::clone(self);
            // No caller waits: the last result stays valid. A look-up takes a few seconds.
            tokio::spawn(async move { view.learn_translation(until).await });
        }
    }

    /// Whether [`refresh`](Self::refresh) would find nothing to do.
    pub(crate) fn is_fresh(&self) -> bool {
        let is_read = *self.stale.lock() > Instant::now();
        is_read && (!self.known.read().has_ipv6 || self.translation.try_lock().is_ok_and(|until| !is_due(*until)))
    }

    async fn read(&self) {
        let _turn = self.reading.lock().await;
        if *self.stale.lock() > Instant::now() {
            return;
        }
        if let Ok((own, routed)) = tokio::task::spawn_blocking(|| (interfaces(), routes())).await {
            self.change(|known| {
                let own = own.unwrap_or_else(|| known.own.clone());
                let has_ipv6 = self.source.has_v6() && leads_out(&own);
                let routed = routed.unwrap_or_else(|| known.routed.clone());
                HostAddresses { own, routed, has_ipv6, nat64: known.nat64.clone() }
            });
        }
        *self.stale.lock() = Instant::now() + FRESH;
    }

    /// A look-up that fails takes nothing away.
    async fn learn_translation(&self, mut until: impl DerefMut<Target = Option<Instant>>) {
        let found = self.upstream.translation().await;
        *until = Some(Instant::now() + if found.is_some() { TRANSLATION } else { TRANSLATION_FAILED });
        if found.is_some() {
            self.change(|known| HostAddresses { nat64: found, ..known.clone() });
        }
    }

    fn change(&self, next: impl FnOnce(&HostAddresses) -> HostAddresses) {
        let mut known = self.known.write();
        *known = Arc::new(next(&known));
    }
}

fn is_due(until: Option<Instant>) -> bool {
    until.is_none_or(|until| until <= Instant::now())
}

/// Whether one of the addresses leads out over IPv6.
fn leads_out(own: &[IpAddr]) -> bool {
    own.iter().any(|address| match address {
        IpAddr::V6(address) => address.segments()[0] & 0xe000 == 0x2000 || address.is_unique_local(),
        IpAddr::V4(_) => false,
    })
}

/// The networks that are routed to this machine; `None` where they cannot be read. Blocks a little.
fn routes() -> Option<Vec<LocalNetwork>> {
    local_routes::read().inspect_err(|error| tracing::warn!(%error, "the kernel's local routes cannot be read")).ok()
}

/// The addresses of all interfaces; `None` where they cannot be read. Blocks a little.
fn interfaces() -> Option<Vec<IpAddr>> {
    let all = nix::ifaddrs::getifaddrs().ok()?;
    let addresses = all.filter_map(|interface| interface.address);
    let own = addresses.filter_map(|address| {
        let v4 = address.as_sockaddr_in().map(|own| IpAddr::V4(own.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|own| IpAddr::V6(own.ip())))
    });
    Some(own.collect())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn the_machine_knows_its_loopback() {
        let view = HostView::default();
        assert!(view.known().own.contains(&Ipv4Addr::LOCALHOST.into()), "{:?}", view.known());
    }

    #[tokio::test]
    async fn addresses_are_read_again_when_they_are_old() {
        let nothing = HostAddresses { nat64: Some(Vec::new()), ..HostAddresses::default() };
        let view = Arc::new(HostView::of(nothing.clone(), Vec::new(), Instant::now() + FRESH));
        view.refresh().await;
        assert_eq!(*view.known(), nothing, "they are not old yet");
        *view.stale.lock() = Instant::now();
        view.refresh().await;
        assert!(view.known().own.contains(&Ipv4Addr::LOCALHOST.into()));
        assert_eq!(view.known().nat64, Some(Vec::new()), "what else is known stays");
    }

    /// Answers every query with these records of `ipv4only.arpa`, with a failure without records.
    async fn name_server(records: Arc<Mutex<Option<Vec<Ipv6Addr>>>>) -> SocketAddr {
        use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
        use hickory_resolver::proto::rr::{RData, Record};

        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("an address");
        tokio::spawn(async move {
            let mut buffer = [0; 1_500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let query = Message::from_vec(&buffer[..length]).expect("a query");
                let mut answer = Message::response(query.metadata.id, OpCode::Query);
                answer.add_query(query.queries[0].clone());
                let name = query.queries[0].name().clone();
                match &*records.lock() {
                    Some(all) => {
                        let data = all.iter().map(|address| RData::AAAA((*address).into()));
                        answer.add_answers(data.map(|data| Record::from_rdata(name.clone(), 0, data)));
                    }
                    None => answer.metadata.response_code = ResponseCode::ServFail,
                }
                let _ = socket.send_to(&answer.to_vec().expect("a message"), from).await;
            }
        });
        address
    }

    #[tokio::test]
    async fn a_look_up_that_fails_takes_no_translation_away() {
        let records = Arc::new(Mutex::new(None));
        let address = name_server(Arc::clone(&records)).await;
        let known = HostAddresses { has_ipv6: true, ..HostAddresses::default() };
        let far = Instant::now() + Duration::from_secs(3_600);
        let view = Arc::new(HostView::of(known, vec![address], far));
        view.refresh().await;
        assert_eq!(view.known().nat64, None, "nobody has said");
        let due = async || *view.translation.lock().await = Some(Instant::now());
        due().await;
        *records.lock() = Some(vec!["2a00:64::c000:aa".parse().expect("an address")]);
        view.refresh().await;
        let found = view.known().nat64.clone().expect("some");
        assert_eq!(
            found[0].embedded("2a00:64::a01:203".parse().expect("an address")),
            Some(Ipv4Addr::new(10, 1, 2, 3))
        );
        *records.lock() = None;
        due().await;
        view.refresh().await;
        // Done when the next turn can be had, which is a minute away after a failure.
        let until = view.translation.lock().await.expect("a time");
        assert!(until > Instant::now() && until < Instant::now() + TRANSLATION / 2, "it was looked up, and failed");
        assert_eq!(view.known().nat64, Some(found), "the last good answer holds");
        due().await;
        *records.lock() = Some(Vec::new());
        view.refresh().await;
        drop(view.translation.lock().await);
        assert_eq!(view.known().nat64, Some(Vec::new()), "an empty answer counts");
    }
}
