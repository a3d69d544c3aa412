use super::{
    Config, CpuMissing, control_group, control_group_limit, cpus_allowed, memory_bytes, memory_total,
};
use crate::config::Auto;
use std::fs;

#[test]
fn the_total_of_meminfo_is_read_in_bytes() {
    let meminfo = "MemFree:  1 kB\nMemTotal:       24570340 kB\nMemAvailable: 7 kB\n";
    assert_eq!(memory_total(meminfo), Some(24_570_340 * 1024));
    assert_eq!(memory_total("MemTotal: lots\n"), None);
}

#[test]
fn the_unified_control_group_is_found_among_older_ones() {
    assert_eq!(
        control_group("12:memory:/old\n0::/user.slice/shoal\n"),
        Some("user.slice/shoal")
    );
    assert_eq!(control_group("12:memory:/old\n"), None);
}

#[test]
fn the_least_limit_on_the_way_up_counts() {
    let root = tempfile::tempdir().expect("a directory");
    let group = root.path().join("outer/inner");
    fs::create_dir_all(&group).expect("directories");
    fs::write(group.join("memory.max"), "max\n").expect("a file");
    assert_eq!(control_group_limit(root.path(), "outer/inner"), None);
    fs::write(root.path().join("outer/memory.max"), "1048576\n").expect("a file");
    assert_eq!(control_group_limit(root.path(), "outer/inner"), Some(1 << 20));
    fs::write(group.join("memory.max"), "4096\n").expect("a file");
    assert_eq!(control_group_limit(root.path(), "outer/inner"), Some(4096));
}

#[test]
fn this_machine_has_a_cpu_and_memory() {
    assert!(!cpus_allowed().is_empty());
    assert!(memory_bytes() > 1 << 20);
}

#[test]
fn a_cpu_that_does_not_exist_is_refused_by_its_number() {
    let config = Config {
        cores: Auto::Fixed(vec![8191]),
        ..Config::default()
    };
    let allowed = cpus_allowed();
    assert_eq!(
        config.cpus(),
        Err(CpuMissing {
            missing: 8191,
            allowed
        })
    );
}

#[test]
fn what_is_left_to_the_machine_follows_it() {
    let config = Config::default();
    assert_eq!(config.cpus(), Ok(cpus_allowed()));
    assert_eq!(config.scan_options().threads, None);
    assert!(config.cache_size_bytes() <= 1 << 30);
    let fixed = Config {
        cache_size: Auto::Fixed(0),
        hashing_threads: Auto::Fixed(3),
        ..Config::default()
    };
    assert_eq!(fixed.cache_size_bytes(), 0);
    assert_eq!(fixed.scan_options().threads.map(usize::from), Some(3));
}
