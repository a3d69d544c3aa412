//! The whole pool in every order of steps: jobs go in, results come out and wake a core that sleeps, the threads end.
//! What never comes or never ends is a deadlock, which loom reports. The hashing is real.

use std::num::NonZeroUsize;
use std::sync::Arc;

use super::{Job, Options, Outcome, Pool, Submitter};
use crate::hash::Stream;
use crate::mailbox::Mailbox;
use crate::sync::explore;

/// FIPS 180-4 of the empty message: what a job without segments comes back with.
const NOTHING_HASHED: [u8; 20] = [
    0xda, 0x39, 0xa3, 0xee, 0x5e, 0x6b, 0x4b, 0x0d, 0x32, 0x55, 0xbf, 0xef, 0x95, 0x60, 0x18, 0x90, 0xaf,
    0xd8, 0x07, 0x09,
];

fn pool(threads: usize) -> Pool {
    Pool::new(&Options {
        threads: NonZeroUsize::new(threads).unwrap(),
        processors: Vec::new(),
        waiting_max: NonZeroUsize::new(4).unwrap(),
    })
    .unwrap()
}

/// An entrance that rings for a core.
fn submitter(pool: &Pool, mailbox: &Arc<Mailbox>) -> Submitter {
    let theirs = Arc::clone(mailbox);
    pool.submitter(NonZeroUsize::new(4).unwrap(), move || theirs.bell().ring())
}

fn job(tag: u64) -> Job {
    Job {
        tag,
        stream: Stream::new(),
        segments: Vec::new(),
        ends: true,
    }
}

/// Takes every result that is owed, sleeping in between.
fn take_all(mailbox: &Mailbox, submitter: &mut Submitter) {
    while submitter.under_way() > 0 {
        let sleeps = mailbox.may_sleep(|| submitter.has_results());
        if sleeps {
            mailbox.bell().sleep();
        }
        mailbox.bell().wakes();
        if sleeps {
            mailbox.bell().heard();
        }
        while let Some(hashed) = submitter.take() {
            assert!(matches!(hashed.outcome, Outcome::Digest(NOTHING_HASHED)));
        }
    }
}

fn check(preemptions: Option<usize>, threads: usize, jobs: u64) {
    explore(preemptions, move || {
        let mailbox = Arc::new(Mailbox::new().unwrap());
        let pool = pool(threads);
        let mut submitter = submitter(&pool, &mailbox);
        submitter.submit(&mut (0..jobs).map(job).collect(), jobs as usize);
        assert_eq!(submitter.under_way(), jobs as usize);
        take_all(&mailbox, &mut submitter);
    });
}

#[test]
fn a_job_wakes_a_thread_and_its_result_wakes_the_core() {
    check(Some(4), 1, 1);
    check(Some(3), 1, 2);
}

#[test]
fn two_threads_share_two_jobs_and_both_end() {
    check(Some(2), 2, 1);
    check(Some(1), 2, 2);
}

#[test]
fn a_pool_ends_whether_its_jobs_were_begun_or_not() {
    explore(None, || {
        let mailbox = Arc::new(Mailbox::new().unwrap());
        let pool = pool(1);
        let mut submitter = submitter(&pool, &mailbox);
        submitter.submit(&mut [job(0)].into(), 1);
        drop(pool);
    });
}
