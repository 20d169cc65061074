//! Whatever comes over a connection to the name server, its queries are found or the connection ends.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    faas_netstack::fuzzing::drive_names(input);
});
