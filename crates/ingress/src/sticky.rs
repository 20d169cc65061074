//! Sticky callers: the part of a request that keeps its caller on one version of a split alias.

use faas_types::Affinity;
use http::HeaderMap;
use http::header::COOKIE;

/// The value of the header or cookie that `by` names. If there are several, the first counts.
#[must_use]
pub fn sticky_key<'h>(headers: &'h HeaderMap, by: &Affinity) -> Option<&'h [u8]> {
    match by {
        Affinity::Header(name) => headers.get(name.as_str()).map(http::HeaderValue::as_bytes),
        Affinity::Cookie(wanted) => {
            let lines = headers.get_all(COOKIE).into_iter().map(http::HeaderValue::as_bytes);
            let mut pairs = lines.flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
            pairs.find_map(|pair| pair.strip_prefix(wanted.as_bytes())?.strip_prefix(b"="))
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn headers_and_cookies_are_found_by_their_whole_name() {
        let mut headers = HeaderMap::new();
        headers.insert("x-user", HeaderValue::from_static("ada"));
        headers.append(COOKIE, HeaderValue::from_static("uids=1; a=b"));
        headers.append(COOKIE, HeaderValue::from_static("uid=x=y ; uid=z"));
        let mark = |by: &str| sticky_key(&headers, &by.parse().expect("a part of a request")).map(<[u8]>::to_vec);
        assert_eq!(mark("header:X-User"), Some(b"ada".to_vec()));
        assert_eq!(mark("cookie:uid"), Some(b"x=y".to_vec()));
        assert_eq!(mark("cookie:UID"), None);
        assert_eq!(mark("header:x-users"), None);
    }
}
