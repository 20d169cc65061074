//! What every blob store promises.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_ports::{Blobs, PortError};
use faas_types::Digest;

use super::{ok, refused};
use crate::fixture::fresh;

/// Bytes by their hash. Uses its own bytes.
pub async fn blobs(blobs: Arc<dyn Blobs>) {
    bytes_come_back_under_their_hash(&*blobs).await;
    marked_bytes_are_nobody_elses(&*blobs).await;
    missing_names_each_once_in_order(&*blobs).await;
    what_is_renewed_is_not_collected(&*blobs).await;
    racing_puts_agree(blobs).await;
}

/// The digest that bytes must get.
pub(super) fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(*blake3::hash(bytes).as_bytes())
}

/// Bytes that no other test stores.
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

async fn marked_bytes_are_nobody_elses(blobs: &dyn Blobs) {
    let (bytes, id): (_, faas_types::RunId) = (unique("marked"), fresh());
    let mark = id.as_u128();
    let plain = ok("put", blobs.put(bytes.clone()).await);
    let digest = ok("put_marked", blobs.put_marked(mark, bytes.clone()).await);
    let whole = [&mark.to_be_bytes()[..], &bytes[..]].concat();
    assert_eq!(digest, digest_of(&whole));
    assert_eq!(ok("get", blobs.get(&digest).await), whole);
    assert_eq!(ok("put_marked again", blobs.put_marked(mark, bytes.clone()).await), digest);
    ok("delete", blobs.delete(&digest).await);
    assert_eq!(ok("get", blobs.get(&plain).await), bytes, "the same bytes without the mark went too");
}

async fn missing_names_each_once_in_order(blobs: &dyn Blobs) {
    let there = ok("put", blobs.put(unique("there")).await);
    let [a, b, c] = ["a", "b", "c"].map(|text| digest_of(&unique(text)));
    let asked = [b, there, a, b, there, c, a];
    assert_eq!(ok("missing", blobs.missing(&asked).await), [b, a, c]);
    assert!(ok("missing of nothing", blobs.missing(&[]).await).is_empty());
}

async fn what_is_renewed_is_not_collected(blobs: &dyn Blobs) {
    let digest = ok("put", blobs.put(unique("old")).await);
    let stored = async || {
        let shelf = ok("shelf", blobs.shelf(digest.as_bytes()[0]).await);
        shelf.into_iter().find(|blob| blob.digest == digest)
    };
    let first = stored().await.expect("what was put is on its shelf");
    assert!(!ok("is older", blobs.is_older(&digest, first.renewed_at).await));
    assert!(!ok("collect", blobs.collect(&digest, first.renewed_at).await), "it is as old as it must be to stay");
    let before = first.renewed_at.plus(Duration::from_millis(1));
    while ok("is older", blobs.is_older(&digest, before).await) {
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert!(ok("missing", blobs.missing(&[digest]).await).is_empty());
    }
    assert!(!ok("collect", blobs.collect(&digest, before).await), "whoever heard of it relies on it");
    let later = stored().await.expect("it is still there").renewed_at.plus(Duration::from_millis(1));
    assert!(ok("collect", blobs.collect(&digest, later).await));
    assert!(!ok("collect again", blobs.collect(&digest, later).await) && stored().await.is_none());
    assert_eq!(ok("missing", blobs.missing(&[digest]).await), [digest]);
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
