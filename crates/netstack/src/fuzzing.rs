//! Feeds a stack with whatever a sandbox might send, and looks at what that costs.
//!
//! The fuzzers below `fuzz/` and the tests call the same functions. An input is a list of steps, so that segments of
//! connections that exist are as likely as noise; every input means something.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use faas_types::NetworkPlan;

use crate::frame::{self, DEVICE_HEADER, FRAME_MAX};
use crate::output::{FlowId, FlowRefusal, QueryId, StackEvent, StackOutput};
use crate::{Amounts, Budget, Stack, StackLimits};

/// Bounds that an input reaches.
const LIMITS: StackLimits = StackLimits {
    connections: 12,
    half_open: 6,
    udp_flows: 4,
    queries: 3,
    flows_a_second: 50,
    queries_a_second: 50,
    half_open_timeout: Duration::from_secs(30),
    idle_timeout: Duration::from_secs(300),
    half_closed_timeout: Duration::from_secs(60),
    udp_timeout: Duration::from_secs(60),
};
const NOTHING: Amounts = Amounts { memory: 0, flows: 0, udp_flows: 0 };
/// Frames that one step may cause: a flush sends 16, and a timer's turn looks at all flows.
const FRAMES_A_STEP: usize = 400;
const AMOUNTS: Amounts = Amounts { memory: 4 << 20, flows: 14, udp_flows: 3 };
const SYN: u8 = 2;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// Reads an input as steps.
struct Steps<'a>(&'a [u8]);

/// The surroundings, which keep to the rules.
#[derive(Default)]
struct Surroundings {
    asked: VecDeque<FlowId>,
    names: VecDeque<FlowId>,
    queries: VecDeque<QueryId>,
    connected: Vec<FlowId>,
    frames: usize,
    /// The stack's numbers of the connection that it wrote of last, so that an input can go on with it.
    sequence: u32,
    acknowledged: u32,
    /// The stack's first number after its SYN.
    begun: u32,
}

/// Drives a stack through an input.
///
/// # Panics
/// When the stack holds more than it may, or sends more than a step explains.
pub fn drive(input: &[u8]) {
    let budget = Budget::new(AMOUNTS);
    let mut stack = Stack::new(LIMITS, budget.clone(), 1, 7);
    let (mut steps, mut around, mut now) = (Steps(input), Surroundings::default(), Duration::ZERO);
    while steps.step(&mut stack, &mut around, &mut now).is_some() {
        stack.poll(now, &mut around);
        assert!(around.frames < FRAMES_A_STEP, "{} frames", around.frames);
        assert!(stack.flows() <= LIMITS.connections + LIMITS.udp_flows, "{} flows", stack.flows());
        assert!(budget.used().memory <= AMOUNTS.memory, "{:?}", budget.used());
        assert_eq!(stack.counters().panics, 0, "the engine panicked");
        around.frames = 0;
    }
    stack.close_all(now, &mut around);
    assert_eq!((stack.flows(), budget.used(), stack.due()), (0, NOTHING, None));
}

/// Sends an input to the name server over one connection, in parts, and answers what becomes of it: that many queries.
///
/// # Panics
/// When a query is not one that the protocol allows, or the stack holds more than it may.
pub fn drive_names(input: &[u8]) -> u64 {
    let budget = Budget::new(AMOUNTS);
    let (mut stack, mut around) = (Stack::new(LIMITS, budget.clone(), 1, 7), Surroundings::default());
    let source = SocketAddr::new(NetworkPlan::ADDRESS.into(), 1_000);
    let target = SocketAddr::new(NetworkPlan::GATEWAY.into(), 53);
    let now = Duration::ZERO;
    let Some((size, stream)) = input.split_first() else { return 0 };
    let send = |stack: &mut Stack, around: &mut Surroundings, flags: u8, at: u32, payload: &[u8]| {
        let acknowledged = if flags == SYN { 0 } else { around.begun };
        let header = tcp_header(source, target, (at, acknowledged), flags, &[]);
        let frame = packed(source, target, frame::TCP, &[&header, payload].concat());
        stack.input(&frame, now, around);
    };
    send(&mut stack, &mut around, SYN, 0, &[]);
    around.begun = around.sequence;
    send(&mut stack, &mut around, ACK, 1, &[]);
    let mut at = 1;
    for part in stream.chunks(usize::from(*size) * 4 + 1) {
        send(&mut stack, &mut around, ACK | PSH, at, part);
        at = at.wrapping_add(part.len() as u32);
        while let Some(query) = around.queries.pop_front() {
            stack.answered(query, &vec![1; usize::from(*size) * 20], now, &mut around);
        }
    }
    assert!(stack.counters().queries as usize <= stream.len() / 14, "{} queries", stack.counters().queries);
    assert_eq!((stack.counters().panics, stack.counters().malformed), (0, 0));
    stack.close_all(now, &mut around);
    assert_eq!((stack.flows(), budget.used()), (0, NOTHING));
    stack.counters().queries
}

// === impl Steps ===

impl Steps<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, count: usize) -> &[u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn step(&mut self, stack: &mut Stack, around: &mut Surroundings, now: &mut Duration) -> Option<()> {
        let kind = self.byte()?;
        match kind % 16 {
            0..7 => {
                let frame = self.segment(around)?;
                self.input(stack, &frame, around, *now);
            }
            7 => {
                let frame = self.datagram()?;
                self.input(stack, &frame, around, *now);
            }
            8 => {
                let length = usize::from(self.byte()?);
                let frame = self.bytes(length).to_vec();
                self.input(stack, &frame, around, *now);
            }
            9 => *now += Duration::from_millis(1 << (self.byte()? % 18)),
            10 | 11 => self.decide(stack, around, *now)?,
            _ => self.serve(stack, around, *now)?,
        }
        Some(())
    }

    fn input(&mut self, stack: &mut Stack, frame: &[u8], around: &mut Surroundings, now: Duration) {
        if let Some(flow) = stack.input(frame, now, around) {
            stack.flush(flow, now, around);
        }
    }

    /// Ends of a frame: few of them, so that connections meet again.
    fn ends(&mut self) -> Option<(SocketAddr, SocketAddr)> {
        let choice = self.byte()?;
        let (source, target): (IpAddr, IpAddr) = match choice >> 6 {
            0 => (NetworkPlan::ADDRESS.into(), NetworkPlan::GATEWAY.into()),
            1 => (
                NetworkPlan::ADDRESS_V6.into(),
                IpAddr::from([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, choice & 1]),
            ),
            2 => (NetworkPlan::ADDRESS.into(), IpAddr::from([255, 255, 255, 254 + (choice & 1)])),
            _ => (NetworkPlan::ADDRESS.into(), IpAddr::from([1, 2, 3, choice & 1])),
        };
        let ports = (1_000 + u16::from(choice >> 1 & 7), 53 + u16::from(choice >> 4 & 1));
        Some((SocketAddr::new(source, ports.0), SocketAddr::new(target, ports.1)))
    }

    fn segment(&mut self, around: &Surroundings) -> Option<Vec<u8>> {
        let (source, target) = self.ends()?;
        let (flags, numbers, options) = (self.byte()?, self.byte()?, self.byte()?);
        let options = self.bytes(usize::from(options % 11) * 4).to_vec();
        let payload = match self.byte()? {
            few @ 0..200 => self.bytes(usize::from(few)).to_vec(),
            many => vec![22; usize::from(many - 199) * 1_000],
        };
        let near =
            |number: u32, choice: u8| number.wrapping_add(u32::from(choice & 7)).wrapping_sub(u32::from(choice & 8));
        let numbers = (near(around.acknowledged, numbers), near(around.sequence, numbers >> 4));
        let header = tcp_header(source, target, numbers, flags, &options);
        Some(packed(source, target, frame::TCP, &[header, payload].concat()))
    }

    fn datagram(&mut self) -> Option<Vec<u8>> {
        let (source, target) = self.ends()?;
        let length = usize::from(self.byte()?);
        let payload = self.bytes(length).to_vec();
        let mut header = [0; 8];
        header[0..2].copy_from_slice(&source.port().to_be_bytes());
        header[2..4].copy_from_slice(&target.port().to_be_bytes());
        header[4..6].copy_from_slice(&(8 + payload.len() as u16).to_be_bytes());
        Some(packed(source, target, frame::UDP, &[&header[..], &payload].concat()))
    }

    /// What the server answers.
    fn decide(&mut self, stack: &mut Stack, around: &mut Surroundings, now: Duration) -> Option<()> {
        let choice = self.byte()?;
        match choice % 4 {
            0 | 1 => {
                let Some(flow) = around.asked.pop_front() else { return Some(()) };
                let how = match choice >> 2 & 7 {
                    0 => FlowRefusal::Denied,
                    1 => FlowRefusal::Refused,
                    2 => FlowRefusal::TimedOut,
                    _ => {
                        stack.connected(flow, choice & 128 != 0, now, around);
                        around.connected.push(flow);
                        return Some(());
                    }
                };
                stack.refused(flow, how, now, around);
            }
            2 => {
                let Some(flow) = around.names.pop_front() else { return Some(()) };
                stack.named(flow, choice & 128 != 0, now, around);
            }
            _ => {
                let Some(query) = around.queries.pop_front() else { return Some(()) };
                stack.answered(query, &vec![1; usize::from(choice) * 300], now, around);
            }
        }
        Some(())
    }

    /// What far ends do.
    fn serve(&mut self, stack: &mut Stack, around: &mut Surroundings, now: Duration) -> Option<()> {
        let (choice, which) = (self.byte()?, self.byte()?);
        let Some(flow) = around.connected.get(usize::from(which) % around.connected.len().max(1)).copied() else {
            return Some(());
        };
        let count = usize::from(choice) * 50;
        match choice % 8 {
            0..3 => {
                stack.read(flow, now, |bytes| bytes.len().min(count));
            }
            3 | 4 => {
                stack.write(flow, now, |room| room.len().min(count));
            }
            5 => stack.finish(flow, now),
            6 if choice < 64 => stack.abort(flow),
            6 => stack.datagram(flow, &vec![2; count], now, around),
            _ if choice < 32 => stack.close(flow, now, around),
            _ => stack.unreachable(flow, FlowRefusal::Refused, around),
        }
        stack.outlook(flow);
        stack.flush(flow, now, around);
        Some(())
    }
}

/// A header with options, filled up to whole words.
fn tcp_header(source: SocketAddr, target: SocketAddr, numbers: (u32, u32), flags: u8, options: &[u8]) -> Vec<u8> {
    let words = options.len().div_ceil(4);
    let mut header = vec![0; 20];
    header[0..2].copy_from_slice(&source.port().to_be_bytes());
    header[2..4].copy_from_slice(&target.port().to_be_bytes());
    header[4..8].copy_from_slice(&numbers.0.to_be_bytes());
    header[8..12].copy_from_slice(&numbers.1.to_be_bytes());
    header[12] = ((5 + words) << 4) as u8;
    header[13] = flags;
    // A window of some size that changes.
    header[14] = numbers.0 as u8 | 0x20;
    header.resize(20 + words * 4, 1);
    header[20..20 + options.len()].copy_from_slice(options);
    header
}

fn packed(source: SocketAddr, target: SocketAddr, protocol: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; DEVICE_HEADER + frame::ip_header_length(source.ip())];
    bytes.extend(content);
    frame::write_headers(&mut bytes, source.ip(), target.ip(), protocol);
    bytes
}

// === impl Surroundings ===

impl StackOutput for Surroundings {
    fn transmit<R>(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        assert!(length <= FRAME_MAX, "a frame of {length} bytes");
        let mut bytes = vec![0xaa; length];
        let result = fill(&mut bytes);
        self.frames += 1;
        let start = if bytes[DEVICE_HEADER] >> 4 == 4 { 20 } else { 40 } + DEVICE_HEADER;
        if let Some(header) = bytes.get(start..).and_then(|content| content.first_chunk::<20>()) {
            let number =
                |from: usize| u32::from_be_bytes([header[from], header[from + 1], header[from + 2], header[from + 3]]);
            (self.sequence, self.acknowledged) = (number(4).wrapping_add(1), number(8));
        }
        result
    }

    fn event(&mut self, event: StackEvent<'_>) {
        match event {
            StackEvent::Connect { flow, .. } => self.asked.push_back(flow),
            StackEvent::Query { query, .. } => self.queries.push_back(query),
            StackEvent::Name { flow, .. } => self.names.push_back(flow),
            StackEvent::Datagram { .. } => {}
            StackEvent::Closed { flow, .. } => self.connected.retain(|connected| *connected != flow),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::sni;

    fn stored(kind: &str) -> Vec<(String, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(kind);
        let mut found: Vec<_> = fs::read_dir(folder)
            .expect("a corpus")
            .map(|entry| entry.expect("readable").path())
            .map(|path| (path.display().to_string(), fs::read(path).expect("readable")))
            .collect();
        found.sort();
        found
    }

    #[test]
    fn stored_inputs_keep_to_the_bounds() {
        let steps = stored("input");
        assert!(!steps.is_empty());
        for (name, input) in steps {
            let driven = std::panic::catch_unwind(|| drive(&input));
            assert!(driven.is_ok(), "{name}");
        }
        for (_, input) in stored("sni") {
            sni::inspect(&input);
        }
        for (name, input) in stored("dns") {
            let driven = std::panic::catch_unwind(|| drive_names(&input));
            assert!(driven.is_ok(), "{name}");
        }
    }

    #[test]
    fn queries_are_found_in_parts_of_any_size() {
        let queries = [&[0, 20][..], &[7; 20], &[0, 12], &[8; 12]].concat();
        for size in 0..20 {
            assert_eq!(drive_names(&[&[size][..], &queries].concat()), 2, "in parts of {}", u16::from(size) * 4 + 1);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]

        #[test]
        fn made_up_streams_of_queries_keep_to_the_bounds(
            parts in prop::collection::vec((0..40_u16, any::<u8>()), 0..40),
            size in any::<u8>(),
        ) {
            let message = |(length, byte): &(u16, u8)| {
                let length = if *length < 36 { length + 12 } else { *length << 10 };
                [&length.to_be_bytes()[..], &vec![*byte; usize::from(length)]].concat()
            };
            let stream: Vec<u8> = parts.iter().flat_map(message).collect();
            drive_names(&[&[size][..], &stream].concat());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn made_up_inputs_keep_to_the_bounds(input in prop::collection::vec(any::<u8>(), 0..1_500)) {
            drive(&input);
        }

        #[test]
        fn noise_behind_a_valid_header_does_no_harm(
            v6 in any::<bool>(),
            protocol in any::<u8>(),
            content in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let ends = if v6 { "[fdfa:a5::2]:1 [2001:db8::1]:2" } else { "192.0.0.2:1 1.2.3.4:2" };
            let (source, target) = ends.split_once(' ').expect("a pair");
            let protocol = match protocol { 0..120 => frame::TCP, 120..220 => frame::UDP, other => other };
            let frame = packed(source.parse().expect("an address"), target.parse().expect("an address"), protocol, &content);
            let mut stack = Stack::new(LIMITS, Budget::new(AMOUNTS), 1, 7);
            let mut around = Surroundings::default();
            for _ in 0..2 {
                stack.input(&frame, Duration::ZERO, &mut around);
                while let Some(flow) = around.asked.pop_front() {
                    stack.connected(flow, true, Duration::ZERO, &mut around);
                }
            }
            prop_assert!(around.frames < 10 && stack.flows() <= 1);
        }
    }
}
