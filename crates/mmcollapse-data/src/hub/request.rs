//! Requests to the hub, whose redirects are followed here and not by a library: the token goes to the hub and to nobody that
//! it sends us to.

use ureq::http::Response;
use ureq::{Agent, Body};

use super::address::{follow, origin, redacted, shown};
use super::announce::refusal;
use super::{Hub, HubError};

/// Redirects that are followed.
const LONGEST_CHAIN: usize = 10;

/// A client of one hub.
pub(super) struct Client<'a> {
    hub: &'a Hub,
    agent: Agent,
}

/// What a server answered.
pub(super) type Answer = Response<Body>;

/// The header `name` of `answer`, without quotes around it.
pub(super) fn header(answer: &Answer, name: &str) -> Option<String> {
    let value = answer.headers().get(name)?.to_str().ok()?;
    Some(value.trim().trim_matches('"').to_owned())
}

impl<'a> Client<'a> {
    /// A client of `hub`.
    ///
    /// # Errors
    /// When address or token of `hub` can be none.
    pub(super) fn new(hub: &'a Hub) -> Result<Self, HubError> {
        let wrong = |variable, reason: String| HubError::Variable { variable, reason };
        if origin(&hub.endpoint).is_none() {
            let expected = format!(
                "expected an address such as https://huggingface.co, got `{}`",
                shown(&hub.endpoint)
            );
            return Err(wrong("HF_ENDPOINT", expected));
        }
        if hub
            .token
            .as_ref()
            .is_some_and(|token| !token.bytes().all(|b| b.is_ascii_graphic()))
        {
            let expected = "expected a token of visible ASCII characters, got others too";
            return Err(wrong("HF_TOKEN", expected.into()));
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("mmcollapse/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(hub.patience.answer))
            .timeout_connect(Some(hub.patience.answer))
            .timeout_recv_response(Some(hub.patience.answer))
            .timeout_per_read(Some(hub.patience.silence))
            .build()
            .new_agent();
        Ok(Self { hub, agent })
    }

    /// The answer to a request for the bytes `range` of `url`, after all redirects; `each` sees every answer on the way.
    pub(super) fn get(&self, url: &str, range: &str, mut each: impl FnMut(&Answer)) -> Result<Answer, HubError> {
        let hub = self.hub;
        let odd = |reason: String| HubError::Protocol {
            url: shown(url),
            reason,
        };
        let mut target = url.to_owned();
        for _ in 0..LONGEST_CHAIN {
            let mut request = self.agent.get(target.as_str()).header("Range", range);
            let is_hub = origin(&target) == origin(&hub.endpoint);
            if let Some(token) = hub.token.as_ref().filter(|_| is_hub) {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            let answer = request.call().map_err(|error| HubError::NoNetwork {
                url: shown(&target),
                reason: redacted(&error.to_string()),
            })?;
            each(&answer);
            let status = answer.status().as_u16();
            let retry_after = header(&answer, "Retry-After");
            if let Some(error) = refusal(status, retry_after, &shown(url), hub.token.is_some()) {
                return Err(error);
            }
            if !(300..400).contains(&status) {
                return Ok(answer);
            }
            let location = header(&answer, "Location");
            let location = location.ok_or_else(|| odd(format!("HTTP {status} without a Location header")))?;
            target = follow(&target, &location);
            if origin(&target).is_none() {
                return Err(odd(format!("HTTP {status} leads to `{}`", shown(&target))));
            }
        }
        Err(odd(format!("more than {LONGEST_CHAIN} redirects")))
    }
}
