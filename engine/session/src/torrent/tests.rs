use std::path::{Path, PathBuf};
use std::sync::Arc;

use shoal_proto::bitfield::Bitfield;
use shoal_proto::metainfo::Metainfo;

use super::{Cause, Failure, Shared, TorrentEvent};
use crate::storage::{Place, Preallocation};

/// What is known of a torrent of one piece, fetched or only served.
fn shared(fetched: bool) -> Shared {
    let document = b"d4:infod6:lengthi5e4:name1:a12:piece lengthi16384e6:pieces20:hhhhhhhhhhhhhhhhhhhhee";
    let metainfo = Arc::new(Metainfo::parse(document).expect("a torrent"));
    let place = Place {
        root: PathBuf::from("somewhere"),
        part_suffix: false,
        preallocation: Preallocation::Sparse,
        data_expected: false,
    };
    Shared::new(metainfo, Vec::new(), fetched.then_some(place), Bitfield::none(1))
}

fn events(shared: &Shared) -> Vec<TorrentEvent> {
    shared.news.receiver().try_iter().collect()
}

/// Found by reading: what was under way when something else was wanted was taken for the answer to it.
#[test]
fn a_torrent_is_finished_only_in_view_of_the_latest_wish() {
    let shared = shared(true);
    assert!(!shared.lock().finished);
    shared.finished(0);
    assert!(shared.lock().finished);
    assert_eq!(events(&shared), [TorrentEvent::Finished]);
    let (first, second) = (shared.wish(), shared.wish());
    for before in [0, first] {
        shared.finished(before);
        assert!(!shared.lock().finished);
        assert_eq!(events(&shared), []);
    }
    shared.finished(second);
    assert!(shared.lock().finished);
    assert_eq!(events(&shared), [TorrentEvent::Finished]);
}

#[test]
fn nothing_is_wanted_of_a_torrent_that_is_only_served() {
    let shared = shared(false);
    assert!(shared.lock().finished);
    assert_eq!(events(&shared), []);
}

#[test]
fn what_failed_is_not_finished() {
    let shared = shared(true);
    shared.finished(0);
    let failure = Failure {
        path: Arc::from(Path::new("a")),
        cause: Cause::Refuted,
    };
    shared.tell(TorrentEvent::Failed(failure));
    let progress = shared.lock();
    assert!(progress.ended && !progress.finished);
}
