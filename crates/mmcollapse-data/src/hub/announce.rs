//! What the hub says of a file before it sends it, and what its refusals mean.
//!
//! hf-hub asks the same, but keeps neither the status nor `Retry-After`, and panics over a redirect that leads nowhere.

use std::time::Duration;

use hf_hub::api::sync::ApiRepo;

use super::{Hub, HubError};

/// What the hub says of a file before sending it.
pub(super) struct Announced {
    pub etag: String,
    pub commit: String,
    pub size: u64,
}

/// Asks for the first byte and follows the redirects, to learn etag, commit and size, or why not.
pub(super) fn announce(hub: &Hub, repo: &ApiRepo, url: &str, answered: &mut bool) -> Result<Announced, HubError> {
    const LONGEST_CHAIN: usize = 10;
    let odd = |reason: String| HubError::Protocol {
        url: url.to_owned(),
        reason,
    };
    let (mut etag, mut commit, mut size) = (None, None, None);
    let mut target = url.to_owned();
    for _ in 0..LONGEST_CHAIN {
        let mut request = repo.info_request().uri(target.as_str()).header("Range", "bytes=0-0");
        if origin(&target) != origin(&hub.endpoint) {
            request.headers_mut().map(|headers| headers.remove("Authorization"));
        }
        let response = request
            .config()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(hub.patience.answer))
            .timeout_connect(Some(hub.patience.answer))
            .timeout_recv_response(Some(hub.patience.answer))
            .build()
            .call()
            .map_err(|error| HubError::NoNetwork {
                url: target.clone(),
                reason: error.to_string(),
            })?;
        *answered = true;
        let header = |name: &str| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.trim().trim_matches('"').to_owned())
        };
        let status = response.status().as_u16();
        if let Some(error) = refusal(status, header("Retry-After"), url, hub.token.is_some()) {
            return Err(error);
        }
        // The hub's own headers come first in the chain; what a content network says of itself does not count.
        etag = etag.or_else(|| header("X-Linked-Etag")).or_else(|| header("Etag"));
        commit = commit.or_else(|| header("X-Repo-Commit"));
        size = size.or_else(|| header("X-Linked-Size"));
        if (300..400).contains(&status) {
            let location = header("Location").ok_or_else(|| odd(format!("HTTP {status} without a Location header")))?;
            target = follow(&target, &location);
            continue;
        }
        let total = header("Content-Range").and_then(|range| {
            let (_, total) = range.rsplit_once('/')?;
            Some(total.to_owned())
        });
        // hf-hub needs the range; say it here, where the reason is still known.
        let total = total.ok_or_else(|| odd("no Content-Range header to a range request".into()))?;
        let size = size.unwrap_or(total);
        let etag = etag.ok_or_else(|| odd("no ETag header".into()))?.replace('"', "");
        let name = etag.strip_prefix("W/").unwrap_or(&etag);
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(odd(format!("unusable ETag `{etag}`")));
        }
        return Ok(Announced {
            commit: commit.ok_or_else(|| odd("no X-Repo-Commit header".into()))?,
            size: size.parse().map_err(|_| odd(format!("size `{size}` is no number")))?,
            etag,
        });
    }
    Err(odd(format!("more than {LONGEST_CHAIN} redirects")))
}

/// The error that a status means, if it means one.
pub(super) fn refusal(status: u16, retry_after: Option<String>, url: &str, with_token: bool) -> Option<HubError> {
    let url = url.to_owned();
    // Retry-After may also be a date; then the usual waits apply.
    let retry_after = retry_after.and_then(|s| s.parse().ok()).map(Duration::from_secs);
    Some(match status {
        200..=399 => return None,
        401 | 403 => HubError::Refused {
            url,
            status,
            with_token,
        },
        404 | 410 => HubError::NotFound { url },
        429 | 503 => HubError::Busy {
            url,
            status,
            retry_after,
        },
        500.. => HubError::Server { url, status },
        _ => HubError::Protocol {
            url,
            reason: format!("HTTP {status}"),
        },
    })
}

/// Scheme, host and port.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find('/').map_or(url.len(), |at| host + at);
    &url[..end]
}

/// Where `location` leads from `url`.
fn follow(url: &str, location: &str) -> String {
    if location.contains("://") {
        location.to_owned()
    } else {
        format!("{}/{}", origin(url), location.trim_start_matches('/'))
    }
}
