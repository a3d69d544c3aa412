//! How fast each kernel hashes, in GB/s, against the `sha1` crate.
//!
//! `cargo bench -p shoal-uring --bench hash`. Kernels take turns so that a noisy machine hits all of them; printed is
//! the median of the turns, in bytes per second of this thread's processor time, because the machine may be shared.
//! "cache" hashes messages as long as the shortest pieces from the second-level cache, "memory" 256 MiB.

use std::hint::black_box;
use std::time::Duration;

use sha1::{Digest, Sha1};
use shoal_uring::hash::{Hasher, Kernel, Plan};

const TURNS: usize = 11;

struct Contender {
    name: String,
    messages: usize,
    /// `None`: the `sha1` crate.
    hasher: Option<Hasher>,
    rates_gb_per_s: Vec<f64>,
}

impl Contender {
    fn new(name: String, messages: usize, hasher: Option<Hasher>) -> Contender {
        Contender {
            name,
            messages,
            hasher,
            rates_gb_per_s: Vec::new(),
        }
    }

    fn hash(&self, messages: &[&[u8]]) {
        match &self.hasher {
            Some(hasher) => {
                black_box(hasher.digests(messages));
            }
            None => messages.iter().for_each(|message| {
                black_box(Sha1::digest(message));
            }),
        }
    }
}

fn main() {
    println!("{:<28}{:>10}{:>10}", "kernel, messages: GB/s", "cache", "memory");
    let mut cache = contenders();
    let mut memory = contenders();
    // A message length that is no power of two: messages that start at the same place of a page share cache sets.
    let data = vec![0xA5_u8; 256 << 20];
    for _ in 0..TURNS {
        for contender in &mut cache {
            turn(contender, &data[..contender.messages * (16 * 1024 + 64)], 8 << 20);
        }
        for contender in &mut memory {
            turn(contender, &data, data.len());
        }
    }
    for (cache, memory) in cache.iter_mut().zip(&mut memory) {
        let (cache_rate, memory_rate) = (
            median(&mut cache.rates_gb_per_s),
            median(&mut memory.rates_gb_per_s),
        );
        println!("{:<28}{cache_rate:>10.2}{memory_rate:>10.2}", cache.name);
    }
}

fn contenders() -> Vec<Contender> {
    let mut contenders = vec![Contender::new("sha1 crate".to_owned(), 1, None)];
    for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.is_supported()) {
        let hasher = Hasher::with_plan(Plan::only(kernel));
        for messages in [1, 2, 3, 4, 8, 16]
            .into_iter()
            .filter(|messages| *messages <= kernel.lanes())
        {
            contenders.push(Contender::new(
                format!("{kernel:?}, {messages}"),
                messages,
                Some(hasher.clone()),
            ));
        }
    }
    for messages in [1, 2, 3, 4, 5, 6, 7, 8, 12, 16] {
        contenders.push(Contender::new(
            format!("as planned, {messages}"),
            messages,
            Some(Hasher::new()),
        ));
    }
    contenders
}

fn turn(contender: &mut Contender, data: &[u8], total_len: usize) {
    let message_len = data.len() / contender.messages;
    let messages: Vec<&[u8]> = data.chunks_exact(message_len).take(contender.messages).collect();
    let hashed_len = message_len * contender.messages;
    let times = (total_len / hashed_len).max(1);
    let began = processor_time();
    for _ in 0..times {
        contender.hash(black_box(&messages));
    }
    contender
        .rates_gb_per_s
        .push((times * hashed_len) as f64 / (processor_time() - began).as_secs_f64() / 1e9);
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: valid for writing one `timespec`.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0, "every thread has a clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
