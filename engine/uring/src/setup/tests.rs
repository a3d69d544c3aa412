use std::io;

use super::{Refused, Surroundings, explain, parse_release, ring};

fn check(errno: i32, io_uring_disabled: u32, seccomp: bool, expected: &str) {
    let refused = explain(
        io::Error::from_raw_os_error(errno),
        &Surroundings {
            io_uring_disabled,
            seccomp,
        },
    );
    let sentence = refused.to_string();
    assert!(
        sentence.contains(expected),
        "{sentence:?} does not say {expected:?}"
    );
}

#[test]
fn who_refuses_is_told_apart() {
    check(libc::EPERM, 2, false, "sysctl kernel.io_uring_disabled=0");
    check(libc::EPERM, 1, true, "kernel.io_uring_group");
    check(libc::EPERM, 0, true, "seccomp");
    check(libc::ENOSYS, 0, true, "seccomp");
    check(libc::ENOSYS, 0, false, "CONFIG_IO_URING");
    check(libc::ENOMEM, 0, false, "LimitMEMLOCK");
    check(libc::EIO, 0, false, "cannot be set up");
    assert!(Refused::OldKernel("5.10.0".into()).to_string().contains("6.1"));
}

#[test]
fn releases_are_read_as_major_and_minor() {
    assert_eq!(parse_release("6.18.44-fc-v445"), Some((6, 18)));
    assert_eq!(parse_release("5.10"), Some((5, 10)));
    assert_eq!(parse_release("what"), None);
}

#[test]
fn this_machine_gives_a_ring() {
    ring().expect("the tests need io_uring");
}
