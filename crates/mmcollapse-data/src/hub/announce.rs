//! What the hub says of a file before it sends it, and what its refusals mean.

use std::time::Duration;

use super::HubError;
use super::address::shown;
use super::request::{Client, header};

/// Most bytes of a file that is loaded; the largest that is known has 440 million.
pub(super) const LARGEST: u64 = 16 << 30;
/// Longest name of a file that an ETag may be; a sha256 has 64 characters.
const LONGEST_ETAG: usize = 128;

/// What the hub says of a file before sending it.
pub(super) struct Announced {
    pub etag: String,
    pub commit: String,
    pub size: u64,
}

/// Asks for the first byte, to learn etag, commit and size, or why not; `answered` is set once any server answers.
pub(super) fn announce(client: &Client<'_>, url: &str, answered: &mut bool) -> Result<Announced, HubError> {
    let odd = |reason: String| HubError::Protocol {
        url: shown(url),
        reason,
    };
    let (mut etag, mut commit, mut size) = (None, None, None);
    let answer = client.get(url, "bytes=0-0", |answer| {
        *answered = true;
        let take = |known: &mut Option<String>, name: &str| *known = known.take().or_else(|| header(answer, name));
        // The hub's own headers come first in the chain; what a content network says of itself does not count.
        take(&mut etag, "X-Linked-Etag");
        take(&mut etag, "Etag");
        take(&mut commit, "X-Repo-Commit");
        take(&mut size, "X-Linked-Size");
    })?;
    let total = header(&answer, "Content-Range").and_then(|range| {
        let (_, total) = range.rsplit_once('/')?;
        Some(total.to_owned())
    });
    // A login page answers with 200 and itself, whatever part was asked for.
    let total = total.ok_or_else(|| odd("no Content-Range header to a range request".into()))?;
    let size = size.unwrap_or(total);
    let etag = etag.ok_or_else(|| odd("no ETag header".into()))?.replace('"', "");
    let name = etag.strip_prefix("W/").unwrap_or(&etag);
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > LONGEST_ETAG || !name.chars().all(is_name) {
        let start: String = etag.chars().take(LONGEST_ETAG / 2).collect();
        return Err(odd(format!("unusable ETag `{start}`")));
    }
    let size = size
        .parse()
        .map_err(|_| odd("the size of the file is no number".into()))?;
    if size > LARGEST {
        return Err(HubError::TooLarge {
            url: shown(url),
            most: LARGEST,
        });
    }
    Ok(Announced {
        commit: commit.ok_or_else(|| odd("no X-Repo-Commit header".into()))?,
        size,
        etag,
    })
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
