use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use sha1::{Digest, Sha1};

use super::{Hashed, Job, Options, Outcome, Pool, SLICE_LEN, Segment, Submitter};
use crate::hash::Stream;

/// Submits one job by itself.
#[expect(clippy::result_large_err, reason = "a refused job goes back whole")]
fn submit(submitter: &mut Submitter, job: Job) -> Result<(), Job> {
    let mut jobs = VecDeque::from([job]);
    submitter.submit(&mut jobs, 1);
    jobs.pop_front().map_or(Ok(()), Err)
}

fn pool(threads: usize, waiting_max: usize) -> Pool {
    let options = Options {
        threads: NonZeroUsize::new(threads).unwrap(),
        processors: Vec::new(),
        waiting_max: NonZeroUsize::new(waiting_max).unwrap(),
    };
    Pool::new(&options).expect("threads can be started")
}

/// A submitter whose bell unparks this thread.
fn submitter(pool: &Pool, under_way_max: usize) -> Submitter {
    let receiver = thread::current();
    pool.submitter(NonZeroUsize::new(under_way_max).unwrap(), move || {
        receiver.unpark();
    })
}

fn bytes(seed: usize, len: usize) -> Vec<u8> {
    (0..len)
        .map(|index| ((index + seed).wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

/// The message as segments of unequal length. The caller keeps it until the result was taken.
fn segments(message: &[u8], segment_len: usize) -> Vec<Segment> {
    // SAFETY: the tests keep their messages until the pool is dropped, and write to none of them.
    message
        .chunks(segment_len)
        .map(|part| unsafe { Segment::new(part.as_ptr(), part.len()) })
        .collect()
}

fn whole(tag: u64, message: &[u8], segment_len: usize) -> Job {
    Job {
        tag,
        stream: Stream::new(),
        segments: segments(message, segment_len),
        ends: true,
    }
}

fn wait(submitter: &mut Submitter) -> Hashed {
    loop {
        if let Some(hashed) = submitter.take() {
            return hashed;
        }
        thread::park();
    }
}

fn digest(hashed: &Hashed) -> [u8; 20] {
    match hashed.outcome {
        Outcome::Digest(digest) => digest,
        Outcome::Stream(_) => panic!("job {} was to end its message", hashed.tag),
    }
}

#[test]
fn every_job_comes_back_with_its_digest() {
    let lens = [
        0,
        1,
        63,
        64,
        65,
        5_000,
        SLICE_LEN - 1,
        SLICE_LEN,
        SLICE_LEN + 1,
        3 * SLICE_LEN + 17,
    ];
    let messages: Vec<Vec<u8>> = (0..60)
        .map(|index| bytes(index, lens[index % lens.len()]))
        .collect();
    for threads in [1, 3] {
        let pool = pool(threads, 64);
        let mut submitter = submitter(&pool, 64);
        for (tag, message) in messages.iter().enumerate() {
            submit(&mut submitter, whole(tag as u64, message, 1 + 777 * (tag + 1))).expect("there is room");
        }
        let mut seen = vec![false; messages.len()];
        while submitter.under_way() > 0 {
            let hashed = wait(&mut submitter);
            let expected: [u8; 20] = Sha1::digest(&messages[hashed.tag as usize]).into();
            assert_eq!(
                digest(&hashed),
                expected,
                "job {} on {threads} threads",
                hashed.tag
            );
            assert!(
                !std::mem::replace(&mut seen[hashed.tag as usize], true),
                "a job came back twice"
            );
        }
        assert!(seen.into_iter().all(|seen| seen), "a job never came back");
    }
}

#[test]
fn a_message_may_come_in_several_jobs() {
    let message = bytes(1, 300_000);
    let pool = pool(2, 4);
    let mut submitter = submitter(&pool, 4);
    let mut stream = Stream::new();
    for chunk in message[..299_993].chunks(70_001) {
        submit(
            &mut submitter,
            Job {
                tag: 7,
                stream,
                segments: segments(chunk, 9_000),
                ends: false,
            },
        )
        .unwrap();
        stream = match wait(&mut submitter).outcome {
            Outcome::Stream(stream) => stream,
            Outcome::Digest(_) => panic!("the message goes on"),
        };
    }
    submit(
        &mut submitter,
        Job {
            tag: 8,
            stream,
            segments: segments(&message[299_993..], 3),
            ends: true,
        },
    )
    .unwrap();
    let expected: [u8; 20] = Sha1::digest(&message).into();
    assert_eq!(digest(&wait(&mut submitter)), expected);
}

#[test]
fn a_submitter_refuses_more_jobs_than_it_may_have_under_way() {
    let message = bytes(1, 100);
    let pool = pool(1, 64);
    let mut submitter = submitter(&pool, 2);
    submit(&mut submitter, whole(0, &message, 100)).unwrap();
    submit(&mut submitter, whole(1, &message, 100)).unwrap();
    let refused =
        submit(&mut submitter, whole(2, &message, 100)).expect_err("two are under way, done or not");
    assert_eq!(refused.tag, 2);
    wait(&mut submitter);
    submit(&mut submitter, refused).expect("one was taken");
}

#[test]
fn of_many_jobs_as_many_are_taken_as_there_is_room_for() {
    let messages: Vec<Vec<u8>> = (0..11).map(|index| bytes(index, 3 * SLICE_LEN)).collect();
    let jobs = messages.iter().zip(0..);
    let mut jobs: VecDeque<Job> = jobs.map(|(message, tag)| whole(tag, message, 9_000)).collect();
    let pool = pool(2, 64);
    let mut submitter = submitter(&pool, 8);
    submitter.submit(&mut jobs, 5);
    assert_eq!(
        (submitter.under_way(), jobs.len()),
        (5, 6),
        "no more than was said"
    );
    submitter.submit(&mut jobs, 6);
    assert_eq!(
        (submitter.under_way(), jobs[0].tag),
        (8, 8),
        "the rest stays, in order"
    );
    while submitter.under_way() > 0 {
        let hashed = wait(&mut submitter);
        let expected: [u8; 20] = Sha1::digest(&messages[hashed.tag as usize]).into();
        assert_eq!(digest(&hashed), expected);
        submitter.submit(&mut jobs, 1);
    }
    assert!(jobs.is_empty());
}

#[test]
fn threads_that_fell_asleep_are_woken_by_every_single_job() {
    let message = bytes(1, 64);
    let expected: [u8; 20] = Sha1::digest(&message).into();
    let pool = pool(3, 4);
    let mut submitter = submitter(&pool, 4);
    // Each job waits for the result of the one before, so the threads sleep in between: a lost wake-up hangs.
    for tag in 0..20_000 {
        submit(&mut submitter, whole(tag, &message, 64)).unwrap();
        let hashed = wait(&mut submitter);
        assert_eq!((hashed.tag, digest(&hashed)), (tag, expected));
    }
}

#[test]
fn many_cores_share_the_threads_and_get_their_own_results() {
    let pool = Arc::new(pool(2, 8));
    let cores: Vec<_> = (0..4)
        .map(|core| {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                let messages: Vec<Vec<u8>> = (0..200)
                    .map(|index| bytes(core * 1_000 + index, index * 13))
                    .collect();
                let mut submitter = submitter(&pool, 4);
                let mut next = 0;
                let mut taken = 0;
                while taken < messages.len() {
                    while next < messages.len()
                        && submit(&mut submitter, whole(next as u64, &messages[next], 1_000)).is_ok()
                    {
                        next += 1;
                    }
                    // The queue that all share may be full of other cores' jobs: nothing under way, nothing to wait for.
                    if submitter.under_way() == 0 {
                        thread::yield_now();
                        continue;
                    }
                    let hashed = wait(&mut submitter);
                    let expected: [u8; 20] = Sha1::digest(&messages[hashed.tag as usize]).into();
                    assert_eq!(digest(&hashed), expected);
                    taken += 1;
                }
            })
        })
        .collect();
    for core in cores {
        core.join().expect("no core panicked");
    }
}

#[test]
fn the_bell_is_rung_after_a_result_can_be_taken() {
    let rings = Arc::new(AtomicUsize::new(0));
    let message = bytes(1, 64);
    let pool = pool(1, 4);
    let receiver = thread::current();
    let rung = Arc::clone(&rings);
    let mut submitter = pool.submitter(NonZeroUsize::MIN, move || {
        rung.fetch_add(1, Ordering::SeqCst);
        receiver.unpark();
    });
    submit(&mut submitter, whole(1, &message, 64)).unwrap();
    while rings.load(Ordering::SeqCst) == 0 {
        thread::park();
    }
    assert!(submitter.has_results());
    assert!(submitter.take().is_some());
    assert!(!submitter.has_results());
}

#[test]
fn a_dropped_pool_leaves_no_thread_and_no_reader() {
    let message = bytes(1, 4 << 20);
    let pool = pool(2, 64);
    let mut submitter = submitter(&pool, 64);
    for tag in 0..40 {
        submit(&mut submitter, whole(tag, &message, 1 << 20)).unwrap();
    }
    // More work than the threads have done by now: they are to leave it. A hang or a crash would tell otherwise.
    drop(pool);
    drop(message);
    assert!(submitter.under_way() > 0);
}

#[test]
fn threads_may_be_pinned_even_to_processors_that_do_not_exist() {
    let message = bytes(1, 1_000);
    let options = Options {
        threads: NonZeroUsize::new(3).unwrap(),
        processors: vec![0, 100_000],
        waiting_max: NonZeroUsize::MIN,
    };
    let pool = Pool::new(&options).unwrap();
    let mut submitter = submitter(&pool, 1);
    submit(&mut submitter, whole(0, &message, 10)).unwrap();
    let expected: [u8; 20] = Sha1::digest(&message).into();
    assert_eq!(digest(&wait(&mut submitter)), expected);
}
