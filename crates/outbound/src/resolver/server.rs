//! The name server of sandboxes: answers what rules allow, and nothing that leads inside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use faas_types::Transport;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::question::{Question, host_name};
use super::{Found, Upstream, address_of};
use crate::{Attempt, Rule, Rules, Ruling};

/// What a program may keep an answer for, whatever its name server says.
const TTL_MAX: u32 = 3_600;
/// How long what is made up here may be kept.
const OWN_TTL: u32 = 60;

/// Answers the queries of sandboxes.
pub(crate) struct NameServer {
    pub(crate) upstream: Upstream,
}

/// What is answered, and what follows from it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The message.
    pub(crate) bytes: Vec<u8>,
    /// What the name that was asked for leads to.
    pub(crate) learned: Option<Learned>,
    /// What was refused: the name, and the rule on it or on its addresses.
    pub(crate) denied: Option<(String, Ruling)>,
}

/// A name and the addresses that it leads to, each with its time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Learned {
    pub(crate) name: Arc<str>,
    pub(crate) addresses: Vec<(IpAddr, Duration)>,
}

// === impl NameServer ===

impl NameServer {
    /// Answers one query.
    pub(crate) async fn answer(&self, bytes: &[u8], over_tcp: bool, rules: &Rules<'_>) -> Answer {
        let question = match Question::read(bytes, over_tcp) {
            Ok(question) => question,
            Err(bytes) => return Answer { bytes, ..Answer::default() },
        };
        let of = |code| Answer { bytes: question.answer(code, Vec::new()), ..Answer::default() };
        let kind = question.query().query_type();
        let Some(host) = question.host.clone().filter(|_| kind != RecordType::PTR) else {
            return of(ResponseCode::NXDomain);
        };
        if host == "localhost" || host.ends_with(".localhost") {
            return Answer { bytes: question.answer(ResponseCode::NoError, localhost(&question)), ..Answer::default() };
        }
        let ruling = rules.rule_on_name(&host, None);
        if !ruling.allowed {
            return Answer { denied: Some((host, ruling)), ..of(ResponseCode::NXDomain) };
        }
        match kind {
            RecordType::A => {}
            RecordType::AAAA if rules.host.has_ipv6 => {}
            // Hints for HTTPS would lead around the addresses that are answered; the others lead nowhere.
            _ => return of(ResponseCode::NoError),
        }
        match self.upstream.look_up(question.query().name(), kind).await {
            Found::Records(records) => answer(&question, host, &records, rules),
            Found::Empty => of(ResponseCode::NoError),
            Found::NoSuchName => of(ResponseCode::NXDomain),
            Found::Failed => of(ResponseCode::ServFail),
        }
    }

    /// The addresses that a name leads to now and that may be reached.
    pub(crate) async fn addresses(&self, host: &str, is_v4: bool, rules: &Rules<'_>) -> Vec<(IpAddr, Duration)> {
        let Ok(name) = Name::from_ascii(host) else { return Vec::new() };
        let kind = if is_v4 { RecordType::A } else { RecordType::AAAA };
        match self.upstream.look_up(&name, kind).await {
            Found::Records(records) => checked(host, &records, rules).map(|good| good.addresses).unwrap_or_default(),
            _ => Vec::new(),
        }
    }
}

/// What is left of an answer after the rules.
struct Checked {
    records: Vec<Record>,
    addresses: Vec<(IpAddr, Duration)>,
    denied: Option<Ruling>,
}

fn answer(question: &Question, host: String, records: &[Record], rules: &Rules<'_>) -> Answer {
    match checked(&host, records, rules) {
        Ok(Checked { records, addresses, denied }) => Answer {
            bytes: question.answer(ResponseCode::NoError, records),
            // An answer without any address says why, the others need not.
            denied: denied.filter(|_| addresses.is_empty()).map(|ruling| (host.clone(), ruling)),
            learned: (!addresses.is_empty()).then(|| Learned { name: host.into(), addresses }),
        },
        Err(ruling) => Answer {
            bytes: question.answer(ResponseCode::NXDomain, Vec::new()),
            denied: Some((host, ruling)),
            learned: None,
        },
    }
}

/// Leaves out what may not be reached at any port.
///
/// # Errors
/// The rule that denies a name on the way.
fn checked(host: &str, records: &[Record], rules: &Rules<'_>) -> Result<Checked, Ruling> {
    let (mut kept, mut addresses, mut denied) = (Vec::new(), Vec::new(), None);
    for record in records {
        let ttl = record.ttl.min(TTL_MAX);
        let keep = |data: &RData| Record::from_rdata(record.name.clone(), ttl, data.clone());
        if let RData::CNAME(target) = &record.data {
            let ruling = host_name(&target.0).map(|target| rules.rule_on_name(&target, None));
            match ruling {
                Some(ruling @ Ruling { rule: Rule::Deny(_) | Rule::OperatorDeny(_), .. }) => return Err(ruling),
                _ => kept.push(keep(&record.data)),
            }
        }
        let Some(address) = address_of(record) else { continue };
        let names = [host];
        let ruled = [Transport::Tcp, Transport::Udp]
            .map(|transport| rules.rule(&Attempt { transport, address, port: None, names: &names }));
        match ruled {
            [tcp, udp] if !tcp.allowed && !udp.allowed => denied = Some(tcp),
            _ => {
                kept.push(keep(&record.data));
                addresses.push((address, Duration::from_secs(u64::from(ttl))));
            }
        }
    }
    Ok(Checked { records: kept, addresses, denied })
}

/// The sandbox itself, whatever the world says.
fn localhost(question: &Question) -> Vec<Record> {
    let data = match question.query().query_type() {
        RecordType::A => RData::A(Ipv4Addr::LOCALHOST.into()),
        RecordType::AAAA => RData::AAAA(Ipv6Addr::LOCALHOST.into()),
        _ => return Vec::new(),
    };
    vec![Record::from_rdata(question.query().name().clone(), OWN_TTL, data)]
}
