//! Addresses: what of them is the same host, where a redirect leads, and what may be shown of them.

use ureq::http::Uri;

/// Scheme, host and port: what has to be the same for a secret to go along.
pub(super) type Origin = (String, String, u16);

/// The origin of `url`, by the parser that the connection is made by; `None` where it is no address of a web server.
pub(super) fn origin(url: &str) -> Option<Origin> {
    let url: Uri = url.parse().ok()?;
    let scheme = url.scheme_str()?.to_ascii_lowercase();
    let usual = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let host = url.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
    Some((scheme, host, url.port_u16().unwrap_or(usual)))
}

/// Where `location` leads from `url` (RFC 3986, section 5.2, without `..`).
pub(super) fn follow(url: &str, location: &str) -> String {
    let has_scheme = location.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    if has_scheme {
        return location.to_owned();
    }
    let host = url.find("://").map_or(0, |at| at + 3);
    if location.starts_with("//") {
        return format!("{}{location}", &url[..host.saturating_sub(2)]);
    }
    let path = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    if location.starts_with('/') {
        return format!("{}{location}", &url[..path]);
    }
    let end = url[path..].find(['?', '#']).map_or(url.len(), |at| path + at);
    let folder = url[path..end].rfind('/').map_or(path, |at| path + at);
    format!("{}/{location}", &url[..folder])
}

/// What may be shown of an address: not who logs in by which password, and not what follows the path, which signs an
/// address of a content network.
pub(crate) fn shown(url: &str) -> String {
    let url = url.find(['?', '#']).map_or(url, |end| &url[..end]);
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find('/').map_or(url.len(), |at| host + at);
    let secret = url[host..end].rfind('@').map_or(host, |at| host + at + 1);
    format!("{}{}", &url[..host], &url[secret..])
}

/// A message of another library with each address in it as it may be [`shown`].
pub(crate) fn redacted(message: &str) -> String {
    let words = message.split_inclusive(|c: char| c.is_whitespace() || "\"'`<>()".contains(c));
    let one = |word: &str| {
        let text = word.trim_end_matches(|c: char| c.is_whitespace() || "\"'`<>()".contains(c));
        let rest = &word[text.len()..];
        if text.contains("://") || text.contains('@') {
            format!("{}{rest}", shown(text))
        } else {
            word.to_owned()
        }
    };
    words.map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_host_and_port_make_an_origin() {
        let same = |a: &str, b: &str| origin(a).is_some() && origin(a) == origin(b);
        assert!(same("https://hub.example/a", "https://HUB.example:443/b?c"));
        assert!(same("http://u:p@hub.example/a", "http://hub.example"));
        for other in [
            "http://hub.example/a",
            "https://hub.example:8443/a",
            "https://hub.example.evil.example/a",
            "https://hub.example@evil.example/a",
            "https://evil.example/?https://hub.example/",
            "ftp://hub.example/",
            "hub.example",
        ] {
            assert!(!same("https://hub.example/a", other), "{other}");
        }
    }

    #[test]
    fn redirects_lead_where_the_standard_says() {
        let from = |location| follow("https://u:p@hub.example/a/b?x=1/2", location);
        assert_eq!(from("http://c.example/d"), "http://c.example/d");
        assert_eq!(from("//c.example/d"), "https://c.example/d");
        assert_eq!(from("/d?u=http://x"), "https://u:p@hub.example/d?u=http://x");
        assert_eq!(from("d"), "https://u:p@hub.example/a/d");
        assert_eq!(follow("https://hub.example", "d"), "https://hub.example/d");
    }

    #[test]
    fn passwords_and_signatures_are_not_shown() {
        for (url, expected) in [
            ("https://u:secret@hub.example:1/a", "https://hub.example:1/a"),
            ("https://hub.example/a@b?sig=secret", "https://hub.example/a@b"),
            ("https://u:sec@ret@hub.example", "https://hub.example"),
            ("u:secret@hub.example/a", "hub.example/a"),
            ("https://hub.example/a#secret", "https://hub.example/a"),
        ] {
            assert_eq!(shown(url), expected);
        }
        let message = redacted("bad uri: \"http://u:secret@proxy:8080\" of u:secret@hub, twice");
        assert_eq!(message, "bad uri: \"http://proxy:8080\" of hub, twice");
    }
}
