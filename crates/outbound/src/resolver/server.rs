//! The name server of sandboxes: answers what rules allow, and nothing that leads inside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use faas_types::Transport;
use futures_util::future::join_all;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::question::{Question, host_name};
use super::{Found, Upstream, WHOLE, address_of};
use crate::{Attempt, Rule, Rules, Ruling};

/// What a program may keep an answer for, whatever its name server says.
const TTL_MAX: u32 = 3_600;
/// Hosts of an answer that are looked up, all at once: one question must not become hundreds.
const SERVICES_MAX: usize = 16;
/// How long what is made up here may be kept.
const OWN_TTL: u32 = 60;

/// Answers the queries of sandboxes.
pub(crate) struct NameServer {
    pub(crate) upstream: Arc<Upstream>,
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
        let ruling = rule_on_question(&host, kind, rules);
        if !ruling.allowed {
            return Answer { denied: Some((host, ruling)), ..of(ResponseCode::NXDomain) };
        }
        match kind {
            RecordType::A => {}
            RecordType::AAAA if rules.host.has_ipv6 => {}
            RecordType::SRV | RecordType::MX | RecordType::TXT => {
                let looking = tokio::time::timeout(WHOLE, self.services(&question, host, kind, rules));
                return looking.await.unwrap_or_else(|_| of(ResponseCode::ServFail));
            }
            // Hints for HTTPS would lead around the addresses that are answered; the others lead nowhere.
            _ => return of(ResponseCode::NoError),
        }
        match self.upstream.look_up(question.query().name(), kind).await {
            Found::Failed => of(ResponseCode::ServFail),
            Found::NoSuchName => nowhere(&question, host, rules),
            Found::Empty => self.without(&question, host, kind, rules).await,
            Found::Records(records) => match checked(&host, &records, rules) {
                Err(ruling) => Answer { denied: Some((host, ruling)), ..of(ResponseCode::NXDomain) },
                Ok(good) if good.addresses.is_empty() => self.without(&question, host, kind, rules).await,
                Ok(Checked { records, addresses }) => Answer {
                    bytes: question.answer(ResponseCode::NoError, records),
                    learned: Some(Learned { name: host.into(), addresses }),
                    denied: None,
                },
            },
        }
    }

    /// The answer for a name without an address of this kind that may be reached: there is such a name only where it has
    /// one of the other kind.
    async fn without(&self, question: &Question, host: String, kind: RecordType, rules: &Rules<'_>) -> Answer {
        let other = if kind == RecordType::A { RecordType::AAAA } else { RecordType::A };
        let has_other = match self.upstream.look_up(question.query().name(), other).await {
            Found::Records(records) => checked(&host, &records, rules).is_ok_and(|good| !good.addresses.is_empty()),
            Found::Empty | Found::NoSuchName => false,
            Found::Failed => {
                return Answer { bytes: question.answer(ResponseCode::ServFail, Vec::new()), ..Answer::default() };
            }
        };
        if has_other {
            return Answer { bytes: question.answer(ResponseCode::NoError, Vec::new()), ..Answer::default() };
        }
        nowhere(question, host, rules)
    }

    /// Where a name leads now.
    ///
    /// # Errors
    /// The rule that denies a name on the way.
    pub(crate) async fn leads(&self, host: &str, is_v4: bool, rules: &Rules<'_>) -> Result<Leads, Ruling> {
        let Ok(name) = Name::from_ascii(host) else { return Ok(Leads::Nowhere) };
        let kind = if is_v4 { RecordType::A } else { RecordType::AAAA };
        match self.upstream.look_up(&name, kind).await {
            Found::Records(records) => {
                checked(host, &records, rules)?;
                Ok(Leads::To(records.iter().filter_map(address_of).collect()))
            }
            Found::Empty | Found::NoSuchName => Ok(Leads::Nowhere),
            Found::Failed => Ok(Leads::Unknown),
        }
    }

    /// What drivers find their servers by: the services whose hosts may be reached, and the texts of a name that may be
    /// reached or has such a service. All else is answered as a name that does not exist.
    async fn services(&self, question: &Question, host: String, kind: RecordType, rules: &Rules<'_>) -> Answer {
        let name = question.query().name();
        if kind == RecordType::TXT && !self.leads_out(name, rules).await && !self.has_service(&host, rules).await {
            return nowhere(question, host, rules);
        }
        let found = self.upstream.look_up(name, kind).await.records();
        let (aliases, found): (Vec<Record>, _) = found.into_iter().partition(is_alias);
        if let Some(ruling) = aliases.iter().find_map(|alias| denied_alias(alias, rules)) {
            let bytes = question.answer(ResponseCode::NXDomain, Vec::new());
            return Answer { bytes, denied: Some((host, ruling)), learned: None };
        }
        let good = if kind == RecordType::TXT { found } else { self.reachable(found, rules).await };
        // A name that leads somewhere is there for every kind of question.
        if good.is_empty() && !self.leads_out(name, rules).await {
            return nowhere(question, host, rules);
        }
        let mut records = if good.is_empty() { good } else { [aliases, good].concat() };
        records.iter_mut().for_each(|record| record.ttl = record.ttl.min(TTL_MAX));
        Answer { bytes: question.answer(ResponseCode::NoError, records), ..Answer::default() }
    }

    /// Those of some services whose hosts may be reached.
    async fn reachable(&self, services: Vec<Record>, rules: &Rules<'_>) -> Vec<Record> {
        let services = services.into_iter().filter_map(|record| {
            let target = match &record.data {
                RData::SRV(service) => service.target.clone(),
                RData::MX(mail) => mail.exchange.clone(),
                _ => return None,
            };
            Some(async move { self.leads_out(&target, rules).await.then_some(record) })
        });
        join_all(services.take(SERVICES_MAX)).await.into_iter().flatten().collect()
    }

    /// Whether a name leads to an address that may be reached.
    async fn leads_out(&self, name: &Name, rules: &Rules<'_>) -> bool {
        let Some(host) = host_name(name).filter(|host| rules.rule_on_name(host, None).allowed) else { return false };
        let v6 = async { rules.host.has_ipv6 && !self.addresses(&host, false, rules).await.is_empty() };
        let (v4, v6) = tokio::join!(self.addresses(&host, true, rules), v6);
        !v4.is_empty() || v6
    }

    /// Whether a name is one of MongoDB's, whose drivers read its text beside its services.
    async fn has_service(&self, host: &str, rules: &Rules<'_>) -> bool {
        let Ok(service) = Name::from_ascii(format!("_mongodb._tcp.{host}.")) else { return false };
        let services = self.upstream.look_up(&service, RecordType::SRV).await.records();
        !self.reachable(services, rules).await.is_empty()
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

/// Where a name leads, before anything is decided about the addresses.
pub(crate) enum Leads {
    /// To these.
    To(Vec<IpAddr>),
    /// Nowhere.
    Nowhere,
    /// Nobody answered.
    Unknown,
}

/// A service of a host (`_mongodb._tcp.db.example.com`) is allowed where the host is.
fn rule_on_question(host: &str, kind: RecordType, rules: &Rules<'_>) -> Ruling {
    let ruling = rules.rule_on_name(host, None);
    let is_denied = matches!(ruling.rule, Rule::Deny(_) | Rule::OperatorDeny(_));
    match host_of_service(host) {
        Some(owner) if kind == RecordType::SRV && !ruling.allowed && !is_denied => {
            let of_owner = rules.rule_on_name(owner, None);
            if of_owner.allowed { of_owner } else { ruling }
        }
        _ => ruling,
    }
}

/// The host in `_service._protocol.HOST`.
fn host_of_service(name: &str) -> Option<&str> {
    let (service, rest) = name.split_once('.')?;
    let (protocol, host) = rest.split_once('.')?;
    (service.starts_with('_') && ["_tcp", "_udp"].contains(&protocol)).then_some(host)
}

/// What is left of an answer after the rules.
struct Checked {
    records: Vec<Record>,
    addresses: Vec<(IpAddr, Duration)>,
}

/// The same whether a name leads inside or nowhere: programs must not learn which names there are inside.
fn nowhere(question: &Question, host: String, rules: &Rules<'_>) -> Answer {
    let ruling = Ruling { allowed: false, rule: Rule::Nowhere, key: rules.operator.open_key.as_str() };
    Answer { bytes: question.answer(ResponseCode::NXDomain, Vec::new()), denied: Some((host, ruling)), learned: None }
}

/// Leaves out what may not be reached at any port.
///
/// # Errors
/// The rule that denies a name on the way.
fn checked(host: &str, records: &[Record], rules: &Rules<'_>) -> Result<Checked, Ruling> {
    let (mut kept, mut addresses) = (Vec::new(), Vec::new());
    for record in records {
        let ttl = record.ttl.min(TTL_MAX);
        let keep = |data: &RData| Record::from_rdata(record.name.clone(), ttl, data.clone());
        match denied_alias(record, rules) {
            Some(ruling) => return Err(ruling),
            None if is_alias(record) => kept.push(keep(&record.data)),
            None => {}
        }
        let Some(address) = address_of(record) else { continue };
        let names = [host];
        let lets = |transport| rules.rule(&Attempt { transport, address, port: None, names: &names }).allowed;
        if lets(Transport::Tcp) || lets(Transport::Udp) {
            kept.push(keep(&record.data));
            addresses.push((address, Duration::from_secs(u64::from(ttl))));
        }
    }
    Ok(Checked { records: kept, addresses })
}

fn is_alias(record: &Record) -> bool {
    matches!(record.data, RData::CNAME(_))
}

/// The rule that denies what an alias leads to.
fn denied_alias(record: &Record, rules: &Rules<'_>) -> Option<Ruling> {
    let RData::CNAME(target) = &record.data else { return None };
    let ruling = rules.rule_on_name(&host_name(&target.0)?, None);
    matches!(ruling.rule, Rule::Deny(_) | Rule::OperatorDeny(_)).then_some(ruling)
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

#[cfg(test)]
mod tests {
    use super::host_of_service;

    #[test]
    fn a_service_is_that_of_its_host() {
        assert_eq!(host_of_service("_mongodb._tcp.db.example"), Some("db.example"));
        assert_eq!(host_of_service("_sip._udp.example"), Some("example"));
        for other in ["db.example", "_tcp.db.example", "mongodb._tcp.db.example", "_a._b.example", "_mongodb._tcp", "_"]
        {
            assert_eq!(host_of_service(other), None, "{other}");
        }
    }
}
