//! The request as which a function sees what it is called with.

use faas_types::{Digest, RequestField};
use serde::{Deserialize, Serialize};

/// Tells a function which try of a background run it is.
const ATTEMPT: &str = "x-faas-attempt";
/// The headers by which a caller proves to a function who it is.
const PROOFS: [&str; 3] = ["authorization", "cookie", "x-api-key"];

/// An HTTP request without its body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// The method.
    pub method: String,
    /// The path below the function's URL.
    pub path: String,
    /// The query without its question mark.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub query: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
}

// === impl HttpRequest ===

impl HttpRequest {
    /// Tells the function which try this is, whatever the request said.
    pub(crate) fn set_attempt(&mut self, number: u32) {
        self.headers.retain(|(name, _)| name != ATTEMPT);
        self.headers.push((ATTEMPT.to_owned(), number.to_string()));
    }

    /// A hash of the headers by which its sender proves to the function who it is; `None` for a request without such headers.
    pub(super) fn proof(&self) -> Option<Digest> {
        let mut hasher = blake3::Hasher::new();
        let mut is_proven = false;
        for proof in PROOFS {
            for (_, value) in self.headers.iter().filter(|(name, _)| name == proof) {
                is_proven = true;
                for part in [proof, value] {
                    hasher.update(&(part.len() as u64).to_be_bytes());
                    hasher.update(part.as_bytes());
                }
            }
        }
        is_proven.then(|| Digest::from_bytes(*hasher.finalize().as_bytes()))
    }

    pub(super) fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.path.len() + self.query.len() + headers
    }
}

/// Headers from outside without those that only we set.
#[must_use]
pub fn foreign(headers: Vec<(String, String)>) -> Vec<(String, String)> {
    headers.into_iter().filter(|(name, _)| RequestField::of(name) != RequestField::Platform).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> HttpRequest {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        HttpRequest { method: "PUT".into(), path: "/a".into(), query: "x=1".into(), headers }
    }

    #[test]
    fn the_number_of_the_attempt_is_ours() {
        let mut request = request(&[("x-faas-attempt", "9"), ("x-a", "b")]);
        request.set_attempt(2);
        assert_eq!(request, self::request(&[("x-a", "b"), ("x-faas-attempt", "2")]));
    }

    #[test]
    fn callers_are_told_apart_by_each_header_that_proves_them() {
        let proof = |headers: &[(&str, &str)]| request(headers).proof();
        assert_eq!(proof(&[("x-a", "b")]), None);
        let one = proof(&[("authorization", "a"), ("x-a", "b")]);
        assert!(one.is_some() && one == proof(&[("authorization", "a")]), "other headers do not count");
        for other in [&[("authorization", "b")][..], &[("cookie", "a")], &[("authorization", "a"), ("cookie", "c")]] {
            assert_ne!(one, proof(other), "{other:?}");
        }
    }
}
