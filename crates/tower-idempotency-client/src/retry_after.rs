//! How long the server asks to wait.

use std::time::{Duration, SystemTime};

use http::{
    HeaderMap, HeaderName,
    header::{DATE, RETRY_AFTER},
};

/// Reads `Retry-After`, in seconds or as a date; nothing if there is none, or none that is valid.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // What does not fit is longer than anybody waits.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    // The server's own clock, where it shows: this machine's may be off.
    let now = date(headers, DATE).unwrap_or_else(now);
    Some(until.duration_since(now).unwrap_or_default())
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    let value = headers.get(name)?.to_str().ok()?;
    httpdate::parse_http_date(value).ok()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a date can only be compared with one; no lease or expiry is judged by it"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[(HeaderName, &str)]) -> Option<Duration> {
        let lines = lines.iter().cloned();
        let headers = lines.map(|(name, value)| (name, value.parse().unwrap()));
        retry_after(&headers.collect())
    }

    #[test]
    fn seconds_are_read() {
        assert_eq!(read(&[(RETRY_AFTER, "3")]), Some(Duration::from_secs(3)));
        let endless = read(&[(RETRY_AFTER, "99999999999999999999999")]);
        assert_eq!(endless, Some(Duration::from_secs(u64::MAX)));
    }

    #[test]
    fn a_date_is_compared_with_the_servers_clock() {
        let date = (DATE, "Tue, 15 Nov 1994 08:12:31 GMT");
        let until = (RETRY_AFTER, "Tue, 15 Nov 1994 08:12:36 GMT");
        let both = read(&[date.clone(), until.clone()]);
        assert_eq!(both, Some(Duration::from_secs(5)));
        let past = (RETRY_AFTER, "Tue, 15 Nov 1994 08:00:00 GMT");
        assert_eq!(read(&[date, past]), Some(Duration::ZERO));
        // By this machine's clock, 1994 is over.
        assert_eq!(read(&[until]), Some(Duration::ZERO));
    }

    #[test]
    fn nonsense_is_as_good_as_nothing() {
        for value in ["", "soon", "-1", "1.5", "1 2"] {
            assert_eq!(read(&[(RETRY_AFTER, value)]), None, "{value}");
        }
        assert_eq!(read(&[]), None);
    }
}
