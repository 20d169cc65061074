//! A name in first bytes is a host name, and more bytes do not change it.

#![no_main]

use faas_netstack::{FirstBytes, inspect};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let whole = inspect(input);
    if let FirstBytes::ClientHello(Some(name)) = &whole {
        assert!(name.len() <= 253 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)));
    }
    if whole != FirstBytes::Incomplete {
        let more = [input, &[0; 9]].concat();
        assert_eq!(inspect(&more), whole);
    }
});
