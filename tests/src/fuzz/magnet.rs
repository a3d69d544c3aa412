//! Magnet links.

use std::collections::HashSet;
use std::hash::Hash;

use shoal_proto::limits::{
    FILES_MAX, MAGNET_PEERS_MAX, PATH_ELEMENT_LEN_MAX, TRACKERS_MAX, URL_LEN_MAX, WEB_SEEDS_MAX,
};
use shoal_proto::magnet::Magnet;

/// Any text as a magnet link.
pub fn magnet(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let magnet: Magnet = match text.parse() {
        Ok(magnet) => magnet,
        Err(error) => return assert!(!error.to_string().chars().any(char::is_control), "{error}"),
    };
    check_limits(&magnet);
    let written = magnet.to_string();
    assert!(written.bytes().all(|byte| byte.is_ascii_graphic()), "{written:?}");
    assert_eq!(written.parse(), Ok(magnet), "{written}");
}

fn check_limits(magnet: &Magnet) {
    if let Some(name) = &magnet.name {
        assert!((1..=PATH_ELEMENT_LEN_MAX).contains(&name.len()), "{name:?}");
        assert!(!name.chars().any(char::is_control), "{name:?}");
    }
    assert!(magnet.trackers.len() <= TRACKERS_MAX && magnet.web_seeds.len() <= WEB_SEEDS_MAX);
    for url in magnet.trackers.iter().chain(&magnet.web_seeds) {
        assert!(url.len() <= URL_LEN_MAX, "{url}");
        assert!(url.bytes().all(|byte| byte.is_ascii_graphic()), "{url:?}");
        assert!(url.contains("://"), "{url}");
    }
    assert!(magnet.peers.len() <= MAGNET_PEERS_MAX);
    assert!(!has_doubles(&magnet.trackers) && !has_doubles(&magnet.web_seeds) && !has_doubles(&magnet.peers));
    for peer in &magnet.peers {
        assert_ne!(peer.port, 0, "{peer}");
        assert!(!peer.host.is_empty() && peer.host.is_ascii(), "{peer}");
    }
    for files in &magnet.selected {
        assert!(
            files.start() <= files.end() && (*files.end() as usize) < FILES_MAX,
            "{files:?}"
        );
    }
}

fn has_doubles<T: Eq + Hash>(list: &[T]) -> bool {
    list.iter().collect::<HashSet<_>>().len() < list.len()
}
