use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use shoal_world::{Errno, Time};

use super::super::Event;
use super::super::clock::Clock;
use super::super::dice::Chance;
use super::super::errno;
use super::super::faults::Faults;
use super::super::payload::Payload;
use super::{End, Link, Network, Notice, Party};

const CLIENT: Party = Party(1);
const SERVER: Party = Party(2);

fn address(host: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)), 6881)
}

/// Two hosts, and what they were told.
struct Bench {
    clock: Clock<Event>,
    network: Network,
    notices: Vec<(Party, Notice)>,
}

impl Bench {
    fn new(seed: u64, link: Link, faults: Faults) -> Bench {
        let mut network = Network::new(seed);
        network.attach(address(1).ip(), link);
        network.attach(address(2).ip(), link);
        network.listen(address(2), vec![SERVER]);
        network.faults = faults;
        Bench {
            clock: Clock::default(),
            network,
            notices: Vec::new(),
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.clock.now() + time;
        while let Some(event) = self.clock.next(until) {
            match event {
                Event::Network(travel) => self.network.travelled(&mut self.clock, travel),
                Event::Vanish(end) => self.network.vanish(end),
                other => panic!("only the network is here: {other:?}"),
            }
            while let Some(notice) = self.network.next_notice() {
                self.notices.push(notice);
            }
            assert_eq!(self.network.unaccounted_bytes(), 0);
        }
    }

    fn connect(&mut self) -> End {
        let patience = Duration::from_secs(5);
        let end = self
            .network
            .connect(&mut self.clock, CLIENT, address(1), address(2), patience);
        self.pass(Duration::from_secs(1));
        end
    }

    fn connected(&self) -> Option<Result<(), Errno>> {
        self.notices.iter().find_map(|(_, notice)| match notice {
            Notice::Connected { result, .. } => Some(*result),
            _ => None,
        })
    }

    fn say(&mut self, end: End, bytes: &[u8]) -> Result<u32, Errno> {
        self.network
            .send(&mut self.clock, end, Payload::copied(bytes.to_vec()))
    }
}

/// What a stream carries, however it is cut, stalled and read.
fn check_stream(seed: u64, faults: Faults, cut: Option<Duration>) {
    let mut bench = Bench::new(seed, Link::FAST, faults);
    let near = bench.connect();
    let sent: Vec<u8> = (0..1_000_000_u32).map(|i| (i / 3) as u8).collect();
    let mut rest = sent.as_slice();
    let mut received = Vec::new();
    if let Some(cut) = cut {
        let until = bench.clock.now() + cut;
        bench.network.cut(address(1).ip(), address(2).ip(), until);
    }
    while received.len() < sent.len() {
        let took = bench.say(near, rest).unwrap();
        rest = &rest[took as usize..];
        bench.pass(Duration::from_millis(3));
        received.extend(bench.network.receive(&mut bench.clock, near.other(), 50_000));
    }
    assert!(received == sent, "the stream arrives as it was sent");
    bench.network.close(&mut bench.clock, near);
    bench.pass(Duration::from_secs(20));
    assert_eq!(bench.network.readable(near.other()).ended, Some(None));
}

#[test]
fn streams_arrive_as_they_were_sent() {
    check_stream(1, Faults::NONE, None);
    let rough = Faults {
        segment_split: Chance(500_000),
        segment_stall: Chance(20_000),
        send_part: Chance(300_000),
        ..Faults::NONE
    };
    for seed in 0..10 {
        check_stream(seed, rough.clone(), None);
        check_stream(seed, rough.clone(), Some(Duration::from_secs(7)));
    }
}

#[test]
fn a_rate_is_a_rate() {
    let slow = Link {
        up: 100_000,
        buffer: 1 << 20,
        ..Link::FAST
    };
    let mut bench = Bench::new(1, slow, Faults::NONE);
    let near = bench.connect();
    bench.say(near, &[0; 1 << 20]).unwrap();
    bench.pass(Duration::from_secs(5));
    let arrived = bench.network.readable(near.other()).len;
    assert!(
        (400_000..510_000).contains(&arrived),
        "{arrived} bytes in five seconds"
    );
}

#[test]
fn nobody_listening_refuses_and_nobody_there_does_not_answer() {
    let mut bench = Bench::new(1, Link::FAST, Faults::NONE);
    bench.network.process_died(&mut bench.clock, address(2).ip());
    bench.connect();
    assert_eq!(bench.connected(), Some(Err(errno::ECONNREFUSED)));
    let mut bench = Bench::new(1, Link::FAST, Faults::NONE);
    bench.network.lose_power(address(2).ip());
    bench.connect();
    assert_eq!(bench.connected(), None);
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.connected(), Some(Err(errno::ETIMEDOUT)));
}

#[test]
fn an_end_that_vanished_answers_with_a_reset() {
    let mut bench = Bench::new(1, Link::FAST, Faults::NONE);
    let near = bench.connect();
    bench.network.vanish(near.other());
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.network.readable(near).ended, None, "nobody tells");
    bench.say(near, b"are you there").unwrap();
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.network.readable(near).ended, Some(Some(errno::ECONNRESET)));
    assert_eq!(bench.say(near, b"?"), Err(errno::ECONNRESET));
}

#[test]
fn closing_with_unread_bytes_is_a_reset() {
    let mut bench = Bench::new(1, Link::FAST, Faults::NONE);
    let near = bench.connect();
    bench.say(near, b"unread").unwrap();
    bench.pass(Duration::from_secs(1));
    bench.network.close(&mut bench.clock, near.other());
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.network.readable(near).ended, Some(Some(errno::ECONNRESET)));
}

#[test]
fn a_connection_that_nothing_gets_through_breaks_in_the_end() {
    let mut bench = Bench::new(1, Link::FAST, Faults::NONE);
    let near = bench.connect();
    bench
        .network
        .cut(address(1).ip(), address(2).ip(), Time::from_ns(u64::MAX));
    bench.say(near, b"lost").unwrap();
    bench.pass(Duration::from_secs(600));
    assert_eq!(bench.network.readable(near).ended, None);
    bench.pass(Duration::from_secs(600));
    assert_eq!(bench.network.readable(near).ended, Some(Some(errno::ECONNRESET)));
}

#[test]
fn datagrams_get_lost_doubled_late_and_damaged() {
    let faults = Faults {
        datagram_lost: Chance(200_000),
        datagram_doubled: Chance(200_000),
        datagram_late: Chance(200_000),
        datagram_corrupt: Chance(200_000),
        stall_max: Duration::from_secs(2),
        ..Faults::NONE
    };
    let mut bench = Bench::new(1, Link::FAST, faults);
    bench.network.bind(address(2), SERVER);
    for number in 0..1_000_u32 {
        let bytes = [number.to_be_bytes(), number.to_be_bytes()].concat();
        bench
            .network
            .send_datagram(&mut bench.clock, address(1), address(2), &bytes);
        bench.pass(Duration::from_millis(5));
    }
    bench.pass(Duration::from_secs(5));
    let (mut counts, mut damaged, mut late, mut last) = (BTreeMap::new(), 0, 0, 0);
    for (party, notice) in &bench.notices {
        let Notice::Datagram { bytes, .. } = notice else {
            continue;
        };
        assert_eq!(*party, SERVER);
        let [first, second] = [&bytes[..4], &bytes[4..]].map(|n| u32::from_be_bytes(n.try_into().unwrap()));
        if first != second {
            damaged += 1;
            continue;
        }
        *counts.entry(first).or_insert(0) += 1;
        late += u32::from(first < last);
        last = last.max(first);
    }
    let lost = (0..1_000).filter(|number| !counts.contains_key(number)).count();
    let doubled = counts.values().filter(|count| **count == 2).count();
    for (what, times) in [
        ("lost", lost),
        ("doubled", doubled),
        ("damaged", damaged),
        ("late", late as usize),
    ] {
        assert!((50..500).contains(&times), "{what} {times} of 1000 times");
    }
}
