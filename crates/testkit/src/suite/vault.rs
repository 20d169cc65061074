//! What every vault promises.

use faas_ports::{PortError, SECRET_MAX, Secret, SecretPlace, Vault};

use super::{ok, refused};
use crate::fixture::fresh;

/// Secrets open where they were sealed for, unchanged, and nowhere else. Rotates the vault's keys.
pub fn vault(vault: &dyn Vault) {
    secrets_come_back(vault);
    nothing_opens_elsewhere(vault);
    every_flipped_bit_is_found(vault);
    rotation_keeps_all_readable(vault);
}

fn place(name: &str) -> SecretPlace {
    SecretPlace { project: fresh(), name: name.to_owned(), version: 1 }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

fn secrets_come_back(vault: &dyn Vault) {
    for text in ["", "hunter2", &"long ".repeat(10_000)] {
        let (place, secret) = (place("API_KEY"), secret(text));
        let sealed = ok("seal", vault.seal(&place, &secret));
        assert_eq!(ok("open", vault.open(&place, &sealed)), secret, "another secret came back");
        let shown = text.len() >= 4 && sealed.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!shown, "the secret can be read from what is stored");
        assert_ne!(sealed, ok("seal", vault.seal(&place, &secret)), "the same secret looks the same twice");
    }
    assert_eq!(format!("{:?}", secret("hunter2")), "Secret(…)");
    let large = Secret::new(vec![0; SECRET_MAX + 1]);
    let error = refused("too large a secret", vault.seal(&place("LARGE"), &large));
    assert!(matches!(error, PortError::Invalid(_)), "{error}");
}

fn nothing_opens_elsewhere(vault: &dyn Vault) {
    let home = place("ab");
    let sealed = ok("seal", vault.seal(&home, &secret("mine")));
    let elsewhere = [
        SecretPlace { project: fresh(), ..home.clone() },
        SecretPlace { name: "a".to_owned(), ..home.clone() },
        SecretPlace { name: "abc".to_owned(), ..home.clone() },
        SecretPlace { version: 2, ..home.clone() },
    ];
    for other in elsewhere {
        let error = refused("another place", vault.open(&other, &sealed));
        assert!(matches!(error, PortError::Corrupt { .. }), "{error}");
        ok("rotate", vault.rotate());
        refused("another place for a new key", vault.renew(&other, &sealed));
    }
}

fn every_flipped_bit_is_found(vault: &dyn Vault) {
    let place = place("FLIPPED");
    let sealed = ok("seal", vault.seal(&place, &secret("whole")));
    for index in 0..sealed.len() {
        let mut damaged = sealed.to_vec();
        damaged[index] ^= 1;
        let error = refused("a flipped bit", vault.open(&place, &damaged));
        assert!(matches!(error, PortError::Corrupt { .. }), "{error}");
        refused("a shortened secret", vault.open(&place, &sealed[..index]));
    }
}

fn rotation_keeps_all_readable(vault: &dyn Vault) {
    let place = place("ROTATED");
    let secret = secret("steady");
    let old = ok("seal", vault.seal(&place, &secret));
    assert_eq!(ok("renew", vault.renew(&place, &old)), None, "it is under the newest key already");
    ok("rotate", vault.rotate());
    assert_eq!(ok("open", vault.open(&place, &old)), secret, "an older key does not open any more");
    let new = ok("renew", vault.renew(&place, &old)).expect("it was under an older key");
    assert_eq!(ok("open", vault.open(&place, &new)), secret);
    assert_eq!(ok("renew", vault.renew(&place, &new)), None);
}
