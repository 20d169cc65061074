//! Assembles rules into a classic BPF program: a binary search over the call number with a verdict at each leaf.

use libc::sock_filter;

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allow,
    /// The call fails with this error.
    Errno(i32),
    /// Tests of arguments, one after the other.
    Inspect(Vec<Test>, Box<Verdict>),
}

/// `if argument & mask is one of values then verdict`.
///
/// One half of an argument is looked at. Of an `int` the kernel uses only the low one: a test of the whole register could be
/// passed by by setting the upper bits. A pointer has both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) argument: u32,
    pub(super) half: Half,
    pub(super) mask: u32,
    pub(super) values: Vec<u32>,
    pub(super) verdict: Verdict,
}

/// A half of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    Low,
    High,
}

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;

/// Offsets in `struct seccomp_data`.
const NUMBER_OFFSET: u32 = 0;
const ARCHITECTURE_OFFSET: u32 = 4;
const ARGUMENTS_OFFSET: u32 = 16;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const IF_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// A run of call numbers from `first` up to the next range, all with the same verdict.
struct Range<'a> {
    first: u32,
    verdict: &'a Verdict,
}

fn op(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}

/// Makes the program. Calls without a rule fail with `ENOSYS`, as on a kernel that does not know them.
pub(super) fn assemble(rules: &[(i64, Verdict)]) -> Vec<sock_filter> {
    let unknown = Verdict::Errno(libc::ENOSYS);
    let ranges = ranges(rules, &unknown);
    let kill = op(RETURN, libc::SECCOMP_RET_KILL_PROCESS, 0, 0);
    let mut program = vec![
        op(LOAD, ARCHITECTURE_OFFSET, 0, 0),
        op(IF_EQUAL, ARCHITECTURE, 1, 0),
        kill,
        op(LOAD, NUMBER_OFFSET, 0, 0),
    ];
    if cfg!(target_arch = "x86_64") {
        // x32 calls carry a mark in the number and the same architecture.
        program.extend([op(IF_AT_LEAST, 0x4000_0000, 0, 1), kill]);
    }
    program.extend(search(&ranges));
    program
}

fn ranges<'a>(rules: &'a [(i64, Verdict)], unknown: &'a Verdict) -> Vec<Range<'a>> {
    let mut sorted: Vec<(u32, &Verdict)> = rules.iter().map(|(number, verdict)| (*number as u32, verdict)).collect();
    sorted.sort_by_key(|(number, _)| *number);
    let mut ranges = vec![Range { first: 0, verdict: unknown }];
    let mut next = 0;
    for (number, verdict) in sorted {
        if number > next {
            ranges.push(Range { first: next, verdict: unknown });
        }
        ranges.push(Range { first: number, verdict });
        next = number + 1;
    }
    ranges.push(Range { first: next, verdict: unknown });
    // Of ranges with the same start the last one counts; neighbours with the same verdict become one.
    ranges.reverse();
    ranges.dedup_by_key(|range| range.first);
    ranges.reverse();
    ranges.dedup_by(|later, earlier| later.verdict == earlier.verdict);
    ranges
}

fn search(ranges: &[Range<'_>]) -> Vec<sock_filter> {
    match ranges {
        [] => Vec::new(),
        [only] => leaf(only.verdict),
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let (below, above) = (search(low), search(high));
            let mut program = match u8::try_from(below.len()) {
                Ok(distance) => vec![op(IF_AT_LEAST, high[0].first, distance, 0)],
                // Conditional jumps reach 255 instructions.
                Err(_) => vec![op(IF_AT_LEAST, high[0].first, 0, 1), op(JUMP, below.len() as u32, 0, 0)],
            };
            program.extend(below);
            program.extend(above);
            program
        }
    }
}

fn leaf(verdict: &Verdict) -> Vec<sock_filter> {
    match verdict {
        Verdict::Allow => vec![op(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0)],
        Verdict::Errno(error) => vec![op(RETURN, libc::SECCOMP_RET_ERRNO | *error as u32, 0, 0)],
        Verdict::Inspect(tests, otherwise) => tests.iter().flat_map(inspect).chain(leaf(otherwise)).collect(),
    }
}

fn inspect(test: &Test) -> Vec<sock_filter> {
    let outcome = leaf(&test.verdict);
    // All architectures here store the low half first.
    let offset = ARGUMENTS_OFFSET + 8 * test.argument + if test.half == Half::High { 4 } else { 0 };
    let mut program = vec![op(LOAD, offset, 0, 0), op(AND, test.mask, 0, 0)];
    for (index, value) in test.values.iter().enumerate() {
        // Over the comparisons that are left and the jump that follows them.
        program.push(op(IF_EQUAL, *value, (test.values.len() - index) as u8, 0));
    }
    program.push(op(JUMP, outcome.len() as u32, 0, 0));
    program.extend(outcome);
    program
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Runs the instructions that [`assemble`] uses, as the kernel would.
    fn run(program: &[sock_filter], architecture: u32, number: u32, args: [u64; 6]) -> u32 {
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            match u32::from(code) {
                LOAD => {
                    accumulator = match k {
                        NUMBER_OFFSET => number,
                        ARCHITECTURE_OFFSET => architecture,
                        _ => {
                            let place = k - ARGUMENTS_OFFSET;
                            (args[(place / 8) as usize] >> (8 * (place % 8))) as u32
                        }
                    }
                }
                AND => accumulator &= k,
                IF_EQUAL => at += usize::from(if accumulator == k { jt } else { jf }),
                IF_AT_LEAST => at += usize::from(if accumulator >= k { jt } else { jf }),
                JUMP => at += k as usize,
                RETURN => return k,
                other => panic!("instruction {other:#x} is not used"),
            }
        }
    }

    pub(in crate::seccomp) const ALLOWED: u32 = libc::SECCOMP_RET_ALLOW;

    pub(in crate::seccomp) fn failed(error: i32) -> u32 {
        libc::SECCOMP_RET_ERRNO | error as u32
    }

    pub(in crate::seccomp) fn verdict(number: i64, args: [u64; 6]) -> u32 {
        verdict_of(&super::super::program(), number, args)
    }

    pub(in crate::seccomp) fn verdict_of(program: &[sock_filter], number: i64, args: [u64; 6]) -> u32 {
        run(program, ARCHITECTURE, number as u32, args)
    }

    #[test]
    fn every_rule_is_found_by_the_search() {
        let program = super::super::program();
        for (number, rule) in super::super::calls::rules() {
            let expected = match rule {
                Verdict::Allow => ALLOWED,
                Verdict::Errno(error) => failed(error),
                Verdict::Inspect(..) => continue,
            };
            assert_eq!(run(&program, ARCHITECTURE, number as u32, [0; 6]), expected, "call {number}");
        }
        assert_eq!(run(&program, ARCHITECTURE, 5000, [0; 6]), failed(libc::ENOSYS));
        assert!(program.len() < 1024, "{} instructions", program.len());
    }

    #[test]
    fn a_foreign_calling_convention_kills() {
        let program = super::super::program();
        assert_eq!(run(&program, 0x4000_0003, libc::SYS_read as u32, [0; 6]), libc::SECCOMP_RET_KILL_PROCESS);
        #[cfg(target_arch = "x86_64")]
        assert_eq!(
            run(&program, ARCHITECTURE, 0x4000_0000 | libc::SYS_read as u32, [0; 6]),
            libc::SECCOMP_RET_KILL_PROCESS
        );
    }

    #[test]
    fn sockets_of_three_families_and_plain_protocols() {
        let socket = |family: i32, kind: i32, protocol: u64| {
            verdict(libc::SYS_socket, [family as u64, kind as u64, protocol, 0, 0, 0])
        };
        assert_eq!(socket(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0), ALLOWED);
        assert_eq!(socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 6), ALLOWED);
        assert_eq!(socket(libc::AF_INET6, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK, 17), ALLOWED);
        assert_eq!(socket(libc::AF_INET, libc::SOCK_RAW, 0), failed(libc::EPROTONOSUPPORT));
        assert_eq!(socket(libc::AF_INET, libc::SOCK_STREAM, 132), failed(libc::EPROTONOSUPPORT));
        for family in [libc::AF_NETLINK, libc::AF_PACKET, libc::AF_VSOCK, libc::AF_ALG, libc::AF_BLUETOOTH] {
            assert_eq!(socket(family, libc::SOCK_DGRAM, 0), failed(libc::EAFNOSUPPORT), "family {family}");
        }
    }

    #[test]
    fn what_the_host_shares_stays_untouched() {
        let high = 1 << 40;
        for (call, argument) in [(libc::SYS_setrlimit, 0), (libc::SYS_getrlimit, 0), (libc::SYS_prlimit64, 1)] {
            for (resource, expected) in [
                (libc::RLIMIT_CORE as u64, failed(libc::EPERM)),
                (high | libc::RLIMIT_CORE as u64, failed(libc::EPERM)),
                (libc::RLIMIT_NOFILE as u64, ALLOWED),
            ] {
                let mut args = [0; 6];
                args[argument] = resource;
                assert_eq!(verdict(call, args), expected, "call {call}, resource {resource}");
            }
        }
        for call in [libc::SYS_sync, libc::SYS_syncfs] {
            assert_eq!(verdict(call, [0; 6]), failed(0), "call {call} does nothing and says that it worked");
        }
        assert_eq!(verdict(libc::SYS_inotify_init1, [0; 6]), failed(libc::ENOSYS));
    }

    #[test]
    fn upper_halves_of_arguments_do_not_get_past() {
        let high = 1 << 40;
        let clone = |flags: u64| verdict(libc::SYS_clone, [flags, 0, 0, 0, 0, 0]);
        assert_eq!(clone((libc::CLONE_VM | libc::CLONE_THREAD) as u64), ALLOWED);
        assert_eq!(clone(high | libc::CLONE_NEWUSER as u64), failed(libc::EPERM));
        assert_eq!(clone(libc::CLONE_NEWNS as u64), failed(libc::EPERM));
        let ioctl = |request: u64| verdict(libc::SYS_ioctl, [0, request, 0, 0, 0, 0]);
        assert_eq!(ioctl(libc::TCGETS), ALLOWED);
        assert_eq!(ioctl(high | libc::TIOCSTI), failed(libc::EPERM));
        assert_eq!(ioctl(libc::TIOCLINUX), failed(libc::EPERM));
        let family = high | libc::AF_VSOCK as u64;
        assert_eq!(verdict(libc::SYS_socket, [family, 1, 0, 0, 0, 0]), failed(libc::EAFNOSUPPORT));
        assert_eq!(verdict(libc::SYS_personality, [0xffff_ffff, 0, 0, 0, 0, 0]), ALLOWED);
        assert_eq!(verdict(libc::SYS_personality, [0x0040_0000, 0, 0, 0, 0, 0]), failed(libc::EPERM));
    }
}
