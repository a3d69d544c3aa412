//! Everything that the handle of a torrent can be told and asked, through the library: seen in the ledger of the seed, on
//! the wire of a peer, on disk, and in the events.

use std::collections::BTreeSet;
use std::fs::{FileTimes, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use shoal::session::{AddError, Event};
use shoal::torrent::{Cause, Order, Priority, Torrent, TorrentEvent, WishError, Wishes};
use shoal_proto::layout::FileIndex;
use shoal_tests::PATIENCE;
use shoal_tests::embedded::Embedded;
use shoal_tests::fetch::Fetch;
use shoal_tests::peer::{FAST_AND_EXTENDED, Message, Peer};
use shoal_tests::sample::{BLOCK_LEN, Sample};
use shoal_tests::scripted_seed::ScriptedSeed;

/// Four blocks.
const PIECE: usize = 4 * BLOCK_LEN as usize;

const NOTHING: [Priority; 3] = [Priority::Skip; 3];

/// Files of two pieces and a half, three pieces and a half, and three: pieces 0 to 2, 2 to 5, 6 to 8.
fn three_files(name: &str) -> Sample {
    let files = [
        ("a", 2 * PIECE + PIECE / 2),
        ("b", 3 * PIECE + PIECE / 2),
        ("c", 3 * PIECE),
    ];
    Sample::directory(name, &files, PIECE as u32)
}

fn wishes(priorities: [Priority; 3]) -> Wishes {
    Wishes {
        priorities: priorities.to_vec(),
        ..Wishes::default()
    }
}

fn honest(embedded: &Embedded) -> ScriptedSeed {
    ScriptedSeed::honest(Ipv4Addr::LOCALHOST, embedded.sample())
}

#[track_caller]
fn assert_finishes(torrent: &Torrent) {
    assert!(torrent.wait(Some(Instant::now() + PATIENCE)));
    assert!(torrent.is_finished());
}

/// How often it was told that the torrent is finished, since this was asked last.
fn told_finished(torrent: &Torrent) -> usize {
    let finished = |event: &TorrentEvent| *event == TorrentEvent::Finished;
    torrent.events().try_iter().filter(finished).count()
}

/// The pieces that a seed was asked for blocks of, none of which was asked for twice.
fn pieces_asked(seed: &ScriptedSeed) -> Vec<u32> {
    seed.ledger().look(|account| {
        let blocks: BTreeSet<_> = account.requests.iter().collect();
        assert_eq!(
            blocks.len(),
            account.requests.len(),
            "a block was asked for twice"
        );
        let pieces: BTreeSet<u32> = blocks.iter().map(|block| block.piece).collect();
        pieces.into_iter().collect()
    })
}

fn file(torrent: &Torrent, number: usize) -> FileIndex {
    let files = torrent.metainfo().layout().files();
    files.map(|(index, _)| index).nth(number).expect("a file")
}

#[test]
fn files_that_are_wanted_later_are_made_and_fetched_later() {
    let embedded = Embedded::start(three_files("later"));
    let seed = honest(&embedded);
    let skips_all_but_c = [Priority::Skip, Priority::Skip, Priority::Normal];
    let torrent = embedded.fetch(wishes(skips_all_but_c), &[seed.address()]);
    assert_finishes(&torrent);
    assert_eq!(told_finished(&torrent), 1);
    assert_eq!(pieces_asked(&seed), [6, 7, 8]);
    assert!(!embedded.path(0).exists() && !embedded.path(1).exists());
    let wants_a = [Priority::Low, Priority::Skip, Priority::Skip];
    torrent.set_priorities(wants_a.to_vec()).expect("room for a file");
    assert!(embedded.path(0).exists());
    assert!(embedded.path(1).exists(), "it shares a piece");
    assert_finishes(&torrent);
    assert_eq!(told_finished(&torrent), 1);
    assert_eq!(pieces_asked(&seed), [0, 1, 2, 6, 7, 8]);
    torrent
        .set_priorities(vec![Priority::High; 3])
        .expect("they are there");
    assert_finishes(&torrent);
    assert_eq!(told_finished(&torrent), 1);
    assert_eq!(pieces_asked(&seed).len(), 9);
    torrent
        .set_priorities(NOTHING.to_vec())
        .expect("it costs nothing");
    assert_finishes(&torrent);
    assert_eq!(told_finished(&torrent), 1, "also when nothing is left to fetch");
    embedded.sample().assert_present_in(&embedded.data());
    embedded.stop();
}

#[test]
fn pieces_are_wanted_by_themselves() {
    let embedded = Embedded::start(three_files("pieces"));
    let seed = honest(&embedded);
    let torrent = embedded.fetch(wishes(NOTHING), &[seed.address()]);
    assert_finishes(&torrent);
    let unknown = torrent.set_piece_priorities(&[2, 9], Some(Priority::High));
    assert!(
        matches!(unknown, Err(WishError::NoSuchPiece { piece: 9, pieces: 9 })),
        "{unknown:?}"
    );
    assert!(torrent.is_finished(), "nothing changed");
    assert!(!embedded.path(0).exists());
    torrent
        .set_piece_priorities(&[2], Some(Priority::Normal))
        .expect("room for its files");
    assert!(embedded.path(0).exists() && embedded.path(1).exists() && !embedded.path(2).exists());
    assert_finishes(&torrent);
    assert_eq!(pieces_asked(&seed), [2]);
    torrent
        .set_piece_priorities(&[1, 7], Some(Priority::Skip))
        .expect("it costs nothing");
    torrent
        .set_priorities(vec![Priority::Normal; 3])
        .expect("room for all");
    assert_finishes(&torrent);
    assert_eq!(
        pieces_asked(&seed),
        [0, 2, 3, 4, 5, 6, 8],
        "what is said of files changes nothing"
    );
    torrent
        .set_piece_priorities(&[7, 2, 1], None)
        .expect("their files are there");
    assert_finishes(&torrent);
    assert_eq!(pieces_asked(&seed).len(), 9);
    embedded.sample().assert_present_in(&embedded.data());
    embedded.stop();
}

#[test]
fn a_limit_of_what_is_fetched_holds_until_it_is_raised() {
    let embedded = Embedded::start(Sample::file("limit down", 8 * PIECE, PIECE as u32));
    let seed = honest(&embedded);
    let torrent = embedded.fetch(Wishes::default(), &[]);
    // One block passes, and the next in four and a half hours.
    torrent.set_limits(Some(1), None).expect("its core runs");
    torrent.connect(vec![seed.address()]).expect("its core runs");
    seed.ledger().wait_until(|account| account.sent.len() == 1);
    assert!(!torrent.wait(Some(Instant::now() + Duration::from_millis(200))));
    assert_eq!(seed.ledger().look(|account| account.requests.len()), 1);
    torrent.set_limits(None, None).expect("its core runs");
    assert_finishes(&torrent);
    embedded.stop();
}

#[test]
fn a_limit_of_what_is_sent_holds_until_it_is_raised() {
    /// Blocks that are sent together, and so pass a limit together.
    const RUN_LEN_MAX: u64 = 16 * BLOCK_LEN as u64;
    let embedded = Embedded::start(Sample::file("limit up", 16 * PIECE, PIECE as u32));
    let torrent = embedded.seed();
    torrent.set_limits(None, Some(1)).expect("its core runs");
    let sample = Arc::clone(embedded.sample());
    let mut peer =
        Fetch::start(embedded.session().local_addr(), &sample, FAST_AND_EXTENDED).expect("it is served");
    peer.want(&sample.blocks());
    while peer.step(usize::MAX).expect("it is served").is_none() {}
    let report = torrent.report().expect("it is served");
    // What has arrived is counted when its sender hears of it.
    assert!(report.uploaded_bytes <= RUN_LEN_MAX, "{report:?}");
    torrent.set_limits(None, None).expect("its core runs");
    peer.blocks(&[], usize::MAX).expect("it is served");
    embedded.stop();
}

#[test]
fn pieces_come_in_the_order_that_is_wished() {
    let embedded = Embedded::start(Sample::file("order", 20 * PIECE + 5_000, PIECE as u32));
    let seed = honest(&embedded);
    let torrent = embedded.fetch(Wishes::default(), &[]);
    torrent.set_order(Order::Sequential).expect("its core runs");
    torrent.connect(vec![seed.address()]).expect("its core runs");
    assert_finishes(&torrent);
    assert_eq!(seed.ledger().take_requests(), embedded.sample().blocks());
    embedded.stop();
}

/// The piece that a peer is told of next. It must not be told of several at once.
fn told_piece(peer: &mut Peer) -> u32 {
    let told = peer.receive_until(|message| match message {
        Message::Have { piece } => Some(piece),
        Message::HaveAll | Message::Bitfield { .. } => panic!("it was told of everything"),
        _ => None,
    });
    told.expect("it is served")
}

#[test]
fn a_super_seed_tells_a_peer_of_one_piece_at_a_time() {
    let embedded = Embedded::start(Sample::file("super", 6 * PIECE, PIECE as u32));
    let torrent = embedded.seed();
    torrent.set_super_seeding(true).expect("its core runs");
    let (address, info_hash) = (embedded.session().local_addr(), embedded.sample().info_hash());
    let mut peer = Peer::greet(address, info_hash, FAST_AND_EXTENDED).expect("it is served");
    peer.say(&Message::HaveNone).expect("it listens");
    let first = told_piece(&mut peer);
    // What it would be told of besides would come before the answer to this.
    peer.say(&Message::Interested).expect("it listens");
    let block = embedded.sample().blocks_of(first)[0];
    peer.say(&Message::Request(block)).expect("it listens");
    let mut answered = false;
    while !answered {
        match peer.receive().expect("it is served") {
            Message::Have { piece } => panic!("it was told of {piece} beside {first}"),
            Message::Reject(_) => peer.say(&Message::Request(block)).expect("it listens"),
            message => answered = matches!(message, Message::Piece { .. }),
        }
    }
    peer.say(&Message::Have { piece: first }).expect("it listens");
    let mut told = BTreeSet::from([first, told_piece(&mut peer)]);
    assert_eq!(told.len(), 2);
    torrent.set_super_seeding(false).expect("its core runs");
    while told.len() < 6 {
        assert!(told.insert(told_piece(&mut peer)), "told twice");
    }
    embedded.stop();
}

#[test]
fn a_handle_connects_and_reports() {
    let embedded = Embedded::start(Sample::file("report", 8 * PIECE, PIECE as u32));
    let silent = ScriptedSeed::start(Ipv4Addr::LOCALHOST, embedded.sample(), |visit| {
        visit.welcome()?;
        visit.say_no_more()
    });
    let torrent = embedded.fetch(Wishes::default(), &[]);
    let report = torrent.report().expect("it is fetched");
    assert_eq!(
        (report.peers, report.pieces_have, report.pieces_wanted),
        (0, 0, 8)
    );
    assert_eq!(report.info_hash, torrent.info_hash());
    torrent.connect(vec![silent.address()]).expect("its core runs");
    silent.ledger().wait_until(|account| !account.requests.is_empty());
    let report = torrent.report().expect("it is fetched");
    assert_eq!((report.peers, report.downloaded_bytes), (1, 0));
    let seed = honest(&embedded);
    torrent.connect(vec![seed.address()]).expect("its core runs");
    assert_finishes(&torrent);
    let report = torrent.report().expect("it is served");
    assert_eq!((report.pieces_have, report.pieces_wanted), (8, 0));
    assert_eq!(report.downloaded_bytes, embedded.sample().len() as u64);
    assert!(torrent.have().is_all());
    embedded.stop();
}

#[test]
fn a_torrent_that_is_there_already_is_finished_when_it_is_added() {
    let embedded = Embedded::start(three_files("complete"));
    embedded
        .sample()
        .write(&embedded.data())
        .expect("the content can be written");
    let torrent = embedded.fetch(Wishes::default(), &[]);
    assert_finishes(&torrent);
    assert_eq!(told_finished(&torrent), 1);
    embedded.stop();
}

#[test]
fn nothing_is_wanted_of_a_torrent_that_is_only_served() {
    let embedded = Embedded::start(three_files("served"));
    let torrent = embedded.seed();
    assert!(torrent.wait(None) && torrent.is_finished());
    torrent
        .set_priorities(NOTHING.to_vec())
        .expect("it means nothing");
    torrent
        .set_piece_priorities(&[0], None)
        .expect("it means nothing");
    assert!(torrent.wait(None) && torrent.is_finished());
    assert_eq!(torrent.events().try_iter().count(), 0);
    embedded.stop();
}

#[test]
fn a_handle_outlives_its_session() {
    let embedded = Embedded::start(three_files("outlived"));
    let torrent = embedded.fetch(Wishes::default(), &[]);
    let mut reader = torrent.reader(file(&torrent, 0)).expect("the file was made");
    let waits = torrent.clone();
    let waiting = thread::spawn(move || waits.wait(None));
    let _place = embedded.stop();
    assert!(!waiting.join().expect("waiting does not panic"));
    assert!(!torrent.wait(None) && !torrent.is_finished());
    assert_eq!(torrent.events().try_iter().count(), 0);
    assert_eq!(torrent.report(), None);
    assert_eq!(torrent.set_limits(None, None), Err(AddError::CoreGone));
    assert_eq!(torrent.set_order(Order::Sequential), Err(AddError::CoreGone));
    assert_eq!(torrent.connect(Vec::new()), Err(AddError::CoreGone));
    let wished = torrent.set_priorities(NOTHING.to_vec());
    assert!(matches!(wished, Err(WishError::Core(AddError::CoreGone))));
    let read = reader.read(&mut [0]).expect_err("it will not come");
    assert_eq!(read.kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn a_reader_seeks_as_in_any_file() {
    let embedded = Embedded::start(three_files("seeks"));
    let seed = honest(&embedded);
    let torrent = embedded.fetch(Wishes::default(), &[seed.address()]);
    assert_finishes(&torrent);
    let mut reader = torrent.reader(file(&torrent, 1)).expect("the file is there");
    let mut all = Vec::new();
    reader.read_to_end(&mut all).expect("it is there");
    assert_eq!(all, std::fs::read(embedded.path(1)).expect("it is there"));
    assert_eq!(reader.len(), all.len() as u64);
    for (to, at) in [
        (SeekFrom::Start(70_000), 70_000),
        (SeekFrom::Current(-1), 70_000),
        (SeekFrom::End(-1), all.len() - 1),
    ] {
        reader.seek(to).expect("a place in the file");
        let mut byte = [0];
        reader.read_exact(&mut byte).expect("it is there");
        assert_eq!(byte, all[at..=at], "{to:?}");
    }
    assert_eq!(
        reader.seek(SeekFrom::End(10)).expect("as in any file"),
        reader.len() + 10
    );
    assert_eq!(reader.read(&mut [0]).expect("nothing is there"), 0);
    let before = reader
        .seek(SeekFrom::Start(0))
        .and_then(|_| reader.seek(SeekFrom::Current(-1)));
    assert_eq!(before.expect_err("no place").kind(), ErrorKind::InvalidInput);
    embedded.stop();
}

/// Found by reading: it had the first piece of the next file fetched as well, which was not on disk.
#[test]
fn a_reader_of_a_skipped_file_gets_what_it_reads_and_nothing_else() {
    let embedded = Embedded::start(three_files("skipped"));
    let seed = honest(&embedded);
    let torrent = embedded.fetch(wishes(NOTHING), &[seed.address()]);
    let mut reader = torrent.reader(file(&torrent, 1)).expect("room for it");
    let mut all = Vec::new();
    reader.read_to_end(&mut all).expect("it comes");
    assert_eq!(all, std::fs::read(embedded.path(1)).expect("it was made"));
    assert_eq!(pieces_asked(&seed), [2, 3, 4, 5]);
    assert!(!embedded.path(2).exists());
    let finished = |event: TorrentEvent| event == TorrentEvent::Finished;
    assert!(torrent.events().try_iter().all(finished));
    embedded.stop();
}

/// Writes what is there already and puts the time of modification back: nothing visible says why the time of change moved.
fn touch(path: &Path, byte: impl FnOnce(u8) -> u8) {
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.expect("the file is there");
    let modified = file.metadata().and_then(|metadata| metadata.modified());
    let mut bytes = [0];
    file.read_exact_at(&mut bytes, 0).expect("it has a byte");
    file.write_all_at(&[byte(bytes[0])], 0).expect("it is ours");
    let times = FileTimes::new().set_modified(modified.expect("ext4 keeps times"));
    file.set_times(times).expect("it is ours");
}

/// A peer asks for a block of the piece, so that its file is looked at; it gets it when the file is in order.
fn ask(embedded: &Embedded, piece: u32) -> std::io::Result<()> {
    let sample = embedded.sample();
    let mut peer = Fetch::start(embedded.session().local_addr(), sample, FAST_AND_EXTENDED)?;
    peer.blocks(&sample.blocks_of(piece)[..1], 1)
}

#[track_caller]
fn assert_verified(embedded: &Embedded, number: usize) {
    let event = embedded.session().events().recv_timeout(PATIENCE);
    match event.expect("something happens") {
        Event::FileVerified { path, .. } => assert_eq!(path, embedded.path(number)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_is_touched_is_verified_again_and_not_fetched_again() {
    let embedded = Embedded::start(three_files("touched"));
    let seed = honest(&embedded);
    let torrent = embedded.fetch(Wishes::default(), &[seed.address()]);
    assert_finishes(&torrent);
    touch(&embedded.path(1), |byte| byte);
    ask(&embedded, 4).expect("it is in order");
    assert_verified(&embedded, 1);
    assert!(torrent.is_finished());
    assert_eq!(pieces_asked(&seed).len(), 9);
    embedded.stop();
}

#[test]
fn a_file_that_is_touched_is_verified_again_while_others_are_fetched() {
    let embedded = Embedded::start(three_files("touched meanwhile"));
    let gate = Arc::new(Barrier::new(2));
    let goes_on = Arc::clone(&gate);
    // It has piece 4 of file 1 to send when it stops: the file is half there.
    let seed = ScriptedSeed::start(Ipv4Addr::LOCALHOST, embedded.sample(), move |visit| {
        visit.welcome()?;
        loop {
            let block = visit.next_request()?;
            if block.piece == 4 && block.offset == 0 {
                goes_on.wait();
            }
            visit.send_block(block)?;
        }
    });
    let mut first = wishes([Priority::Normal, Priority::Skip, Priority::Skip]);
    first.order = Order::Sequential;
    let torrent = embedded.fetch(first, &[seed.address()]);
    assert_finishes(&torrent);
    torrent
        .set_priorities(vec![Priority::Normal; 3])
        .expect("room for all");
    seed.ledger()
        .wait_until(|account| account.sent.iter().any(|block| block.piece == 3));
    touch(&embedded.path(0), |byte| byte);
    ask(&embedded, 0).expect("it is in order");
    assert_verified(&embedded, 0);
    gate.wait();
    assert_finishes(&torrent);
    assert_eq!(pieces_asked(&seed).len(), 9);
    assert!(embedded.session().events().is_empty());
    embedded.sample().assert_present_in(&embedded.data());
    ask(&embedded, 4).expect("it is in order");
    embedded.stop();
}

#[test]
fn a_file_that_was_changed_fails_its_torrent_which_fetches_what_is_wrong_when_it_is_added_again() {
    let embedded = Embedded::start(three_files("changed"));
    let seed = honest(&embedded);
    let torrent = embedded.fetch(Wishes::default(), &[seed.address()]);
    assert_finishes(&torrent);
    touch(&embedded.path(2), |byte| !byte);
    ask(&embedded, 7).expect_err("nothing of it is sent any more");
    let event = embedded.session().events().recv_timeout(PATIENCE);
    match event.expect("something happens") {
        Event::TorrentFailed { failure, .. } => {
            assert_eq!(failure.cause, Cause::Refuted);
            assert_eq!(*failure.path, *embedded.path(2));
            let told: Vec<TorrentEvent> = torrent.events().try_iter().collect();
            assert_eq!(told.last(), Some(&TorrentEvent::Failed(failure)));
        }
        other => panic!("{other:?}"),
    }
    assert!(!torrent.is_finished() && !torrent.wait(None));
    seed.ledger().take_requests();
    let again = embedded.fetch(Wishes::default(), &[seed.address()]);
    assert_finishes(&again);
    assert_eq!(pieces_asked(&seed), [6]);
    embedded.sample().assert_present_in(&embedded.data());
    embedded.stop();
}

#[test]
fn a_torrent_that_is_removed_may_be_added_again() {
    let embedded = Embedded::start(three_files("removed"));
    let seed = honest(&embedded);
    let torrent = embedded.fetch(Wishes::default(), &[]);
    let info_hash = torrent.info_hash();
    assert!(embedded.session().remove(&info_hash));
    assert!(!embedded.session().remove(&info_hash), "it is gone");
    assert!(!torrent.wait(None), "nothing more will happen to it");
    let again = embedded.fetch(Wishes::default(), &[seed.address()]);
    assert_finishes(&again);
    assert!(embedded.session().remove(&info_hash));
    let complete = embedded.begin(Wishes::default());
    assert!(
        complete.have().is_all(),
        "its files and what is known of them stay"
    );
    embedded.sample().assert_present_in(&embedded.data());
    embedded.stop();
}
