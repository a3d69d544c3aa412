//! Which addresses of trackers and web seeds are worth keeping.
//!
//! Torrent files and magnet links are full of addresses that nobody can use: empty, cut, with line breaks, of
//! dead protocols. This is the one rule for all of them. It is no parser of URLs: whoever connects parses the
//! address in full and decides where it may lead.

use crate::limits::URL_LEN_MAX;

/// The protocols that trackers are reached by: BEP 3 and BEP 7, BEP 15, WebTorrent.
pub(crate) const TRACKER_SCHEMES: &[&str] = &["http", "https", "udp", "ws", "wss"];

/// The protocols that web seeds (BEP 19) are reached by.
pub(crate) const WEB_SEED_SCHEMES: &[&str] = &["http", "https"];

/// The address without surrounding white space, if it has one of the schemes, a host, no more than
/// [`URL_LEN_MAX`] bytes, and nothing but printable ASCII: anything else has to be percent-encoded in an URL
/// (RFC 3986), and line breaks in one are an attack on HTTP.
pub(crate) fn usable(bytes: &[u8], schemes: &[&str]) -> Option<String> {
    let bytes = bytes.trim_ascii();
    if bytes.len() > URL_LEN_MAX || !bytes.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let url = std::str::from_utf8(bytes).ok()?;
    let (scheme, rest) = url.split_once("://")?;
    let known = schemes.iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let host = !rest.is_empty() && !rest.starts_with(['/', ':', '?', '#']);
    (known && host).then(|| url.to_owned())
}

#[cfg(test)]
mod tests;
