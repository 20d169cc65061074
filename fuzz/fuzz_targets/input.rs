//! Whatever a sandbox sends to its network stack, what the stack holds and sends stays within bounds.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| faas_netstack::fuzzing::drive(input));
