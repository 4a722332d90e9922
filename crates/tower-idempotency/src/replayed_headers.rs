use std::collections::HashSet;

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Headers that describe one message, one connection or one caller, not the result.
const DENIED: [&str; 38] = [
    "age",
    "alt-svc",
    "authentication-info",
    "b3",
    "connection",
    "content-length",
    "date",
    "forwarded",
    "idempotency-key",
    "idempotency-replay",
    "idempotency-replayed",
    "idempotent-replayed",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "ratelimit",
    "ratelimit-policy",
    "request-id",
    "retry-after",
    "server",
    "server-timing",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "te",
    "timing-allow-origin",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "www-authenticate",
    "x-correlation-id",
    "x-idempotency-replay",
    "x-request-id",
];

/// Families of such headers.
const DENIED_PREFIXES: [&str; 4] = ["access-control-", "ratelimit-", "x-b3-", "x-ratelimit-"];

/// Which headers of a response are kept and replayed.
///
/// By default everything the handler set, in its order and with duplicates, except headers of the
/// connection (`Connection` and what it names, `Transfer-Encoding`, ..), of the message
/// (`Date`, `Content-Length`, which is computed anew), of the exchange (request ids, traces,
/// rate limits, CORS) and of the caller (`Set-Cookie`, challenges).
///
/// The filter runs when a response is stored, so that no secret is kept,
/// and again when it is replayed, so that older records cannot bring one back.
///
/// # Example
///
/// ```
/// use tower_idempotency::ReplayedHeaders;
///
/// let all_but_one = ReplayedHeaders::default().without("x-internal-shard");
/// let only_two = ReplayedHeaders::only(["location", "etag"]);
/// # let _ = (all_but_one, only_two);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ReplayedHeaders {
    allowed: Option<HashSet<String>>,
    denied: HashSet<String>,
    cookies: bool,
}

impl ReplayedHeaders {
    /// Keeps only `Content-Type` and the named headers, less those that are never kept.
    pub fn only<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        let mut allowed: HashSet<String> = names
            .into_iter()
            .map(|name| name.into().to_ascii_lowercase())
            .collect();
        allowed.insert(header::CONTENT_TYPE.as_str().to_owned());
        Self {
            allowed: Some(allowed),
            ..Self::default()
        }
    }

    /// Leaves one more header out.
    #[must_use]
    pub fn without(mut self, name: impl Into<String>) -> Self {
        self.denied.insert(name.into().to_ascii_lowercase());
        self
    }

    /// Keeps `Set-Cookie` too: whoever retries gets the cookies of the first answer again,
    /// a session that has ended since included.
    #[must_use]
    pub const fn danger_replay_cookies(mut self) -> Self {
        self.cookies = true;
        self
    }

    /// Returns what is to be kept of `headers`, in their order.
    pub(crate) fn filter(&self, headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
        let nominated = nominated(headers);
        let mut kept = Vec::with_capacity(headers.len());
        for (name, value) in headers {
            if self.keeps(name) && !nominated.contains(name.as_str()) {
                kept.push((name.clone(), value.clone()));
            }
        }
        kept
    }

    pub(crate) fn keeps(&self, name: &HeaderName) -> bool {
        let name = name.as_str();
        if self.cookies && name == header::SET_COOKIE {
            return true;
        }
        let refused = DENIED.binary_search(&name).is_ok()
            || DENIED_PREFIXES
                .iter()
                .any(|prefix| name.starts_with(prefix))
            || self.denied.contains(name);
        !refused
            && self
                .allowed
                .as_ref()
                .is_none_or(|allowed| allowed.contains(name))
    }
}

/// Returns the names that `Connection` declares to be of this connection only.
fn nominated(headers: &HeaderMap) -> HashSet<String> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(policy: &ReplayedHeaders, headers: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let kept = policy.filter(&map);
        kept.iter()
            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
            .collect()
    }

    #[test]
    fn the_denied_names_are_sorted_so_that_they_can_be_searched() {
        assert!(DENIED.is_sorted());
    }

    #[test]
    fn what_describes_the_result_is_kept_with_duplicates() {
        let headers = [
            ("content-type", "text/plain"),
            ("link", "<a>"),
            ("link", "<b>"),
            ("x-acme", "1"),
        ];
        let expected = [
            "content-type=text/plain",
            "link=<a>",
            "link=<b>",
            "x-acme=1",
        ];
        assert_eq!(names(&ReplayedHeaders::default(), &headers), expected);
    }

    #[test]
    fn what_connection_nominates_is_left_out() {
        let headers = [
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("x-acme", "1"),
        ];
        assert_eq!(names(&ReplayedHeaders::default(), &headers), ["x-acme=1"]);
    }

    #[test]
    fn cookies_come_back_only_where_that_was_asked_for() {
        let headers = [("set-cookie", "s=1")];
        assert!(names(&ReplayedHeaders::default(), &headers).is_empty());
        let policy = ReplayedHeaders::default().danger_replay_cookies();
        assert_eq!(names(&policy, &headers), ["set-cookie=s=1"]);
    }

    #[test]
    fn an_allow_list_never_lets_a_connection_header_through() {
        let policy = ReplayedHeaders::only(["Location", "transfer-encoding"]);
        let headers = [
            ("location", "/1"),
            ("transfer-encoding", "chunked"),
            ("x-acme", "1"),
            ("content-type", "text/plain"),
        ];
        assert_eq!(
            names(&policy, &headers),
            ["location=/1", "content-type=text/plain"]
        );
    }
}
