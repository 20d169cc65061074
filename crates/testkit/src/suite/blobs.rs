//! What every blob store promises.

use std::sync::Arc;

use bytes::Bytes;
use faas_ports::{Blobs, PortError};
use faas_types::Digest;

use super::{ok, refused};
use crate::fixture::fresh;

/// Bytes by their hash. Uses bytes of its own.
pub async fn blobs(blobs: Arc<dyn Blobs>) {
    bytes_come_back_under_their_hash(&*blobs).await;
    missing_names_each_once_in_order(&*blobs).await;
    racing_puts_agree(blobs).await;
}

/// The digest that bytes must get.
pub(super) fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(*blake3::hash(bytes).as_bytes())
}

/// Bytes that nobody else has stored.
fn unique(text: &str) -> Bytes {
    let id: faas_types::RunId = fresh();
    format!("{text} {id}").into()
}

async fn bytes_come_back_under_their_hash(blobs: &dyn Blobs) {
    let large: Bytes = unique("large").iter().copied().cycle().take(3 << 20).collect::<Vec<_>>().into();
    for bytes in [Bytes::new(), unique("small"), large] {
        let digest = ok("put", blobs.put(bytes.clone()).await);
        assert_eq!(digest, digest_of(&bytes), "the digest is not the BLAKE3 hash");
        assert_eq!(ok("get", blobs.get(&digest).await), bytes, "the bytes differ");
        assert_eq!(ok("put again", blobs.put(bytes.clone()).await), digest);
        assert_eq!(ok("get", blobs.get(&digest).await), bytes, "the bytes differ after a second put");
        ok("delete", blobs.delete(&digest).await);
        ok("delete again", blobs.delete(&digest).await);
        let error = refused("get after the delete", blobs.get(&digest).await);
        assert!(matches!(error, PortError::NotFound { .. }), "{error}");
        assert_eq!(ok("put after the delete", blobs.put(bytes.clone()).await), digest);
        assert_eq!(ok("get", blobs.get(&digest).await), bytes);
    }
}

async fn missing_names_each_once_in_order(blobs: &dyn Blobs) {
    let there = ok("put", blobs.put(unique("there")).await);
    let [a, b, c] = ["a", "b", "c"].map(|text| digest_of(&unique(text)));
    let asked = [b, there, a, b, there, c, a];
    assert_eq!(ok("missing", blobs.missing(&asked).await), [b, a, c]);
    assert!(ok("missing of nothing", blobs.missing(&[]).await).is_empty());
}

async fn racing_puts_agree(blobs: Arc<dyn Blobs>) {
    let bytes = unique("raced").repeat(10_000);
    let digest = digest_of(&bytes);
    let bytes = Bytes::from(bytes);
    let puts: Vec<_> = (0..16)
        .map(|_| {
            let (blobs, bytes) = (Arc::clone(&blobs), bytes.clone());
            tokio::spawn(async move {
                let digest = ok("put", blobs.put(bytes).await);
                ok("get at once", blobs.get(&digest).await)
            })
        })
        .collect();
    for put in puts {
        assert_eq!(put.await.expect("the put ends well"), bytes);
    }
    assert_eq!(ok("get", blobs.get(&digest).await), bytes);
}
