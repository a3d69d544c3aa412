use std::os::fd::AsRawFd;

use super::*;

#[test]
fn memory_is_read_from_the_status_file() {
    let status = "Name:\tx\nVmHWM:\t    5000 kB\nVmRSS:\t 4000 kB\nRssAnon:\t  1000 kB\nRssFile:\t 2000 kB\nRssShmem:\t 30 kB\n";
    let memory = Memory::parse(status);
    let expected = Memory {
        resident_peak_kib: 5000,
        anonymous_kib: 1000,
        file_kib: 2000,
        shared_kib: 30,
        memfd_kib: 0,
    };
    assert_eq!(memory, expected);
    assert_eq!(memory.held_kib(), 1030);
    assert_eq!(
        Memory {
            memfd_kib: 300,
            ..memory
        }
        .held_kib(),
        1300
    );
}

#[test]
fn a_memfd_is_counted_without_being_mapped_and_only_once() {
    let mut memfd = File::from(memfd_create(c"bench-test", MFdFlags::MFD_CLOEXEC).unwrap());
    memfd.write_all(&vec![1; 3 << 20]).unwrap();
    let duplicate = memfd.try_clone().unwrap();
    let seen = |file: &File| memfd_blocks(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())));
    assert_eq!(seen(&memfd).unwrap().1, (3 << 20) / STAT_BLOCK_LEN);
    assert_eq!(seen(&memfd), seen(&duplicate));
    assert_eq!(seen(&File::open("/proc/self/status").unwrap()), None);
}

#[test]
fn cpu_time_of_a_process_grows_with_its_work() {
    let before = cpu_time(Pid::this()).unwrap();
    let mut mixed = 1_u64;
    while cpu_time(Pid::this()).unwrap() - before < Duration::from_millis(5) {
        mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    assert_ne!(mixed, 0);
}

#[test]
fn lines_with_labels_are_found() {
    assert_eq!(
        labelled("processor : 0\nmodel name\t: Some CPU\n", "model name"),
        Some("Some CPU")
    );
    assert_eq!(labelled("", "model name"), None);
}

#[test]
fn a_core_is_busy_with_everything_but_idling_and_waiting() {
    let stat =
        "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 2 4 1000 1000 8 16 32 0 0\ncpu1 5 0 0 7 0 0 0 0 0 0\nintr 5\n";
    assert_eq!(
        (busy_ticks(stat, 0), busy_ticks(stat, 1), busy_ticks(stat, 2)),
        (Some(63), Some(5), None)
    );
}

#[test]
fn what_a_process_wrote_is_known_of_any_process() {
    let before = written_len(Pid::this()).unwrap();
    let work = tempfile::tempdir().unwrap();
    fs::write(work.path().join("written"), vec![1; 1 << 20]).unwrap();
    let written = written_len(Pid::this()).unwrap() - before;
    // Nothing where the temporary directory is in memory.
    assert!(written == 0 || written >= 1 << 20, "{written}");
}

#[test]
fn cpu_times_subtract_and_add_up() {
    let time = |user, system| CpuTime {
        user: Duration::from_secs(user),
        system: Duration::from_secs(system),
    };
    let spent = time(5, 4).since(time(3, 1));
    assert_eq!(spent, time(2, 3));
    assert_eq!(spent.total(), Duration::from_secs(5));
}
