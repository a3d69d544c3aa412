//! How fast a file is read and hashed, and what it costs:
//! `cargo bench -p shoal-uring --bench scan -- [FILE [PIECE_KIB [WAY]]]`.
//!
//! Without a file it writes one of 1 GiB into the current directory and deletes it afterwards. The ways are "cold"
//! after the page cache was told to drop the file, "buffered" the same through the page cache, and "cached" after
//! reading it once. They take turns, and the medians are printed; naming one measures that one alone. Compare "cold" with what the disk gives: `fio --name=read --filename=FILE --rw=read
//! --bs=1M --direct=1 --iodepth=16 --ioengine=io_uring`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use shoal_uring::kernel::IoMode;
use shoal_uring::scan::{Options, Part, Piece, Source, scan};

const TURNS: usize = 7;

const OWN_FILE_LEN: usize = 1 << 30;

struct Measured {
    wall_s: f64,
    cpu_s: f64,
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let own = arguments.is_empty().then(write_own).transpose()?;
    let path = own.clone().unwrap_or_else(|| PathBuf::from(&arguments[0]));
    let piece_kib: u32 = arguments
        .get(1)
        .map_or(Ok(1024), |kib| kib.parse())
        .map_err(io::Error::other)?;
    let result = measure(&path, piece_kib * 1024, arguments.get(2).map(String::as_str));
    own.map_or(Ok(()), std::fs::remove_file)?;
    result
}

/// The state of the page cache before a turn, and the way around or through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Cold,
    Buffered,
    Cached,
}

fn measure(path: &Path, piece_len: u32, only: Option<&str>) -> io::Result<()> {
    let len = std::fs::metadata(path)?.len();
    let gib = len as f64 / f64::from(1 << 30);
    let ways = [Way::Cold, Way::Buffered, Way::Cached];
    let ways = ways
        .into_iter()
        .filter(|way| only.is_none_or(|only| format!("{way:?}").eq_ignore_ascii_case(only)));
    let mut measured: Vec<(Way, Vec<Measured>)> = ways.map(|way| (way, Vec::new())).collect();
    for _ in 0..TURNS {
        for (way, turns) in &mut measured {
            match way {
                Way::Cold | Way::Buffered => drop_from_page_cache(path)?,
                Way::Cached => load_into_page_cache(path)?,
            }
            let io_mode = if *way == Way::Buffered {
                IoMode::Buffered
            } else {
                IoMode::Auto
            };
            turns.push(turn(path, len, piece_len, io_mode));
        }
    }
    println!(
        "{:<12}{:>10}{:>10}{:>14}",
        "medians", "wall s", "GiB/s", "CPU s/GiB"
    );
    for (way, turns) in measured {
        let wall_s = median(turns.iter().map(|turn| turn.wall_s));
        let cpu_s = median(turns.iter().map(|turn| turn.cpu_s));
        println!(
            "{:<12}{wall_s:>10.3}{:>10.2}{:>14.3}",
            format!("{way:?}"),
            gib / wall_s,
            cpu_s / gib
        );
    }
    Ok(())
}

fn turn(path: &Path, len: u64, piece_len: u32, io_mode: IoMode) -> Measured {
    let parts = [Part {
        source: Source::File(path.to_owned()),
        len,
    }];
    let options = Options {
        io_mode,
        ..Options::default()
    };
    let (began, cpu_before_s) = (Instant::now(), cpu_s());
    let report = scan(&parts, piece_len, &options, &|_| ControlFlow::Continue(())).expect("nobody cancels");
    let measured = Measured {
        wall_s: began.elapsed().as_secs_f64(),
        cpu_s: cpu_s() - cpu_before_s,
    };
    assert!(
        report
            .pieces
            .iter()
            .all(|piece| matches!(piece, Piece::Hashed(_))),
        "{:?}",
        report.parts
    );
    measured
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Processor time of all threads of this process, in user space and in the kernel.
fn cpu_s() -> f64 {
    // SAFETY: `rusage` is plain data for which all zeroes is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: valid for writing one `rusage`.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn drop_from_page_cache(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    // Pages that were not written back would stay.
    file.sync_all()?;
    // SAFETY: no memory is passed.
    let result = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(result))
    }
}

fn load_into_page_cache(path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

fn write_own() -> io::Result<PathBuf> {
    let path = PathBuf::from("shoal-bench-scan.data");
    let mut file = File::create(&path)?;
    let block: Vec<u8> = (0..1_u32 << 20)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for _ in 0..OWN_FILE_LEN / block.len() {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    Ok(path)
}
