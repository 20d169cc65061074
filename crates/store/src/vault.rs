//! Secrets under envelope encryption: each has its own key, which a key of the ring seals.
//!
//! ```text
//! format 1 | ring key's number, 4, little endian | nonce 24 | sealed key 32 + 16 | nonce 24 | sealed secret n + 16
//! ```
//!
//! XChaCha20-Poly1305 with random nonces; both layers authenticate the place that the secret belongs to. Rotating the
//! ring seals the small keys anew and leaves the secrets as they are.

use bytes::Bytes;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{Key, KeyInit, XChaCha20Poly1305, XNonce};
use faas_ports::{PortError, PortResult, SECRET_MAX, Secret, SecretPlace, Vault};
use parking_lot::RwLock;
use zeroize::Zeroizing;

use crate::key_ring::KeyRing;

const FORMAT: u8 = 1;
const NONCE: usize = 24;
const KEY: usize = 32;
const TAG: usize = 16;
/// Up to the sealed key's end.
const HEAD: usize = 1 + 4 + NONCE + KEY + TAG;

/// Secrets sealed under the keys of the data directory.
pub(crate) struct FileVault {
    ring: RwLock<KeyRing>,
}

/// What is sealed, taken apart.
struct Sealed<'a> {
    number: u32,
    key: &'a [u8],
    secret: &'a [u8],
}

// === impl FileVault ===

impl FileVault {
    pub(crate) fn new(ring: KeyRing) -> Self {
        Self { ring: RwLock::new(ring) }
    }

    /// The head of a sealed secret: its key under the newest key of the ring.
    fn head(&self, place: &[u8], key: &[u8]) -> PortResult<Vec<u8>> {
        let ring = self.ring.read();
        let newest = ring.newest();
        let mut head = vec![FORMAT];
        head.extend_from_slice(&newest.number.to_le_bytes());
        head.extend_from_slice(&encrypt(&newest.cipher(), place, key)?);
        Ok(head)
    }

    fn key(&self, place: &[u8], sealed: &Sealed<'_>, what: &SecretPlace) -> PortResult<Zeroizing<Vec<u8>>> {
        let ring = self.ring.read();
        let key = ring.find(sealed.number).ok_or_else(|| corrupt(what))?;
        decrypt(&key.cipher(), place, sealed.key).ok_or_else(|| corrupt(what))
    }
}

impl Vault for FileVault {
    fn seal(&self, place: &SecretPlace, secret: &Secret) -> PortResult<Bytes> {
        if secret.reveal().len() > SECRET_MAX {
            return Err(PortError::Invalid(format!("`{}` is larger than {SECRET_MAX} bytes", place.name)));
        }
        let bytes = place.to_bytes();
        let mut key = Zeroizing::new([0; KEY]);
        getrandom::fill(&mut *key).map_err(|error| PortError::failed("making a key", error.to_string()))?;
        let mut sealed = self.head(&bytes, &*key)?;
        sealed.extend_from_slice(&encrypt(&cipher(&key), &bytes, secret.reveal())?);
        Ok(sealed.into())
    }

    fn open(&self, place: &SecretPlace, sealed: &[u8]) -> PortResult<Secret> {
        let bytes = place.to_bytes();
        let sealed = Sealed::read(sealed).ok_or_else(|| corrupt(place))?;
        let key = self.key(&bytes, &sealed, place)?;
        let key = <&[u8; KEY]>::try_from(key.as_slice()).map_err(|_| corrupt(place))?;
        let secret = decrypt(&cipher(key), &bytes, sealed.secret).ok_or_else(|| corrupt(place))?;
        Ok(Secret::new(secret.to_vec()))
    }

    fn rotate(&self) -> PortResult<()> {
        self.ring.write().grow().map_err(|error| PortError::io("writing the key file", error))
    }

    fn renew(&self, place: &SecretPlace, sealed: &[u8]) -> PortResult<Option<Bytes>> {
        let taken = Sealed::read(sealed).ok_or_else(|| corrupt(place))?;
        if taken.number == self.ring.read().newest().number {
            return Ok(None);
        }
        let bytes = place.to_bytes();
        let mut renewed = self.head(&bytes, &self.key(&bytes, &taken, place)?)?;
        renewed.extend_from_slice(taken.secret);
        Ok(Some(renewed.into()))
    }
}

impl std::fmt::Debug for FileVault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FileVault(…)")
    }
}

// === impl Sealed ===

impl<'a> Sealed<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, secret) = bytes.split_at_checked(HEAD)?;
        let number = u32::from_le_bytes(head.get(1..5)?.try_into().ok()?);
        (head[0] == FORMAT && secret.len() >= NONCE + TAG).then_some(Self { number, key: &head[5..], secret })
    }
}

fn cipher(key: &[u8; KEY]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(*key))
}

/// A random nonce, then the ciphertext with its tag.
fn encrypt(cipher: &XChaCha20Poly1305, place: &[u8], clear: &[u8]) -> PortResult<Vec<u8>> {
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce).map_err(|error| PortError::failed("making a nonce", error.to_string()))?;
    let sealed = cipher
        .encrypt(&XNonce::from(nonce), Payload { msg: clear, aad: place })
        .map_err(|error| PortError::failed("sealing a secret", error.to_string()))?;
    Ok([&nonce[..], &sealed].concat())
}

fn decrypt(cipher: &XChaCha20Poly1305, place: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE)?;
    let nonce = XNonce::from(<[u8; NONCE]>::try_from(nonce).ok()?);
    cipher.decrypt(&nonce, Payload { msg: sealed, aad: place }).ok().map(Zeroizing::new)
}

fn corrupt(place: &SecretPlace) -> PortError {
    PortError::Corrupt { what: format!("the sealed secret `{}`", place.name) }
}
