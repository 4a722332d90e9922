//! Where known senders put what names a delivery.

use bytes::Bytes;
use http::{HeaderMap, request::Parts};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tower_idempotency::{IdempotencyKey, KeyError, KeySource};

/// A known sender of webhooks, for [`Trigger::provider`](crate::Trigger::provider).
///
/// | sender | the key is | the same when it is sent again |
/// |---|---|---|
/// | GitHub | `X-GitHub-Delivery` | yes, also when somebody asks for a redelivery |
/// | Shopify | `X-Shopify-Webhook-Id`, else topic and `X-Shopify-Event-Id` | yes; the event's id alone is shared by all topics that one change touches |
/// | Stripe | `/id` of the event | yes |
/// | Slack | `/event_id` | yes; its `url_verification` has none and flows through |
/// | Standard Webhooks | `webhook-id` | yes |
/// | CloudEvents | `ce-source` and `ce-id`, or `/source` and `/id` of `application/cloudevents+json` | source and id together name an event |
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Provider {
    /// CloudEvents over HTTP, in binary or structured mode; batches have no key.
    CloudEvents,
    /// GitHub.
    GitHub,
    /// Shopify.
    Shopify,
    /// Slack's Events API.
    Slack,
    /// Senders that follow the Standard Webhooks specification.
    StandardWebhooks,
    /// Stripe.
    Stripe,
}

impl Provider {
    /// Returns the places to look at, in their order.
    #[must_use]
    pub fn key_sources(self) -> Vec<KeySource> {
        match self {
            Self::CloudEvents => vec![KeySource::from_body_fn(cloud_event)],
            Self::GitHub => vec![KeySource::header("x-github-delivery")],
            Self::Shopify => vec![
                KeySource::header("x-shopify-webhook-id"),
                KeySource::from_fn(|parts| {
                    let topic = text(&parts.headers, "x-shopify-topic")?;
                    named_by(&[topic, text(&parts.headers, "x-shopify-event-id")?])
                }),
            ],
            Self::Slack => vec![KeySource::json_pointer("/event_id")],
            Self::StandardWebhooks => vec![KeySource::header("webhook-id")],
            Self::Stripe => vec![KeySource::json_pointer("/id")],
        }
    }
}

fn cloud_event(parts: &Parts, body: &Bytes) -> Option<Result<IdempotencyKey, KeyError>> {
    let headers = &parts.headers;
    if let (Some(source), Some(id)) = (text(headers, "ce-source"), text(headers, "ce-id")) {
        return named_by(&[source, id]);
    }
    let kind = text(headers, "content-type")?.split(';').next()?.trim();
    if !kind.eq_ignore_ascii_case("application/cloudevents+json") {
        return None;
    }
    let event: Value = serde_json::from_slice(body).ok()?;
    named_by(&[event.get("source")?.as_str()?, event.get("id")?.as_str()?])
}

/// Returns the value of a header that is there once.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    (values.next().is_none() && !value.is_empty()).then_some(value)
}

/// Names a delivery by several parts.
///
/// Their digest is of fixed length: a source is a URI of any.
fn named_by(parts: &[&str]) -> Option<Result<IdempotencyKey, KeyError>> {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let digest = hasher.finalize();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(IdempotencyKey::new(hex))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn key(provider: Provider, headers: &[(&str, &str)], body: &'static str) -> Option<String> {
        let mut request = Request::post("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let body = Bytes::from_static(body.as_bytes());
        let sources = provider.key_sources();
        let found = sources.iter().find_map(|source| source.find(&parts, &body));
        found.map(|key| key.unwrap().as_str().to_owned())
    }

    #[test]
    fn each_sender_is_read_where_it_puts_its_key() {
        let read = [
            key(Provider::GitHub, &[("X-GitHub-Delivery", "k")], ""),
            key(Provider::Shopify, &[("X-Shopify-Webhook-Id", "k")], ""),
            key(Provider::StandardWebhooks, &[("webhook-id", "k")], ""),
            key(Provider::Stripe, &[], r#"{"id":"k"}"#),
            key(Provider::Slack, &[], r#"{"event_id":"k"}"#),
        ];
        assert!(
            read.iter().all(|key| key.as_deref() == Some("k")),
            "{read:?}"
        );
        let challenge = r#"{"type":"url_verification","challenge":"c"}"#;
        assert_eq!(key(Provider::Slack, &[], challenge), None);
    }

    #[test]
    fn one_event_of_shopify_in_two_topics_is_two_deliveries() {
        let of = |topic| {
            let headers = [("X-Shopify-Event-Id", "e"), ("X-Shopify-Topic", topic)];
            key(Provider::Shopify, &headers, "").unwrap()
        };
        assert_ne!(of("orders/create"), of("orders/paid"));
        assert_eq!(of("orders/paid"), of("orders/paid"));
    }

    #[test]
    fn a_cloud_event_has_one_name_in_both_modes() {
        let binary = [("ce-source", "/a"), ("ce-id", "1")];
        let binary = key(Provider::CloudEvents, &binary, "");
        let kind = [(
            "content-type",
            "application/cloudevents+json; charset=utf-8",
        )];
        let structured = key(Provider::CloudEvents, &kind, r#"{"source":"/a","id":"1"}"#);
        assert!(binary.is_some());
        assert_eq!(binary, structured);
        let moved = [("ce-source", "/"), ("ce-id", "a1")];
        assert_ne!(key(Provider::CloudEvents, &moved, ""), structured);
        assert_eq!(key(Provider::CloudEvents, &[("ce-id", "1")], ""), None);
    }
}
