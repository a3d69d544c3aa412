use super::statistics::Spread;
use super::table::Table;
use super::*;
use crate::data::Recipe;
use crate::fetch::{self, FetchSample};
use crate::measure::Memory;
use crate::seed::{Latency, Sample, Scenario, Span};
use crate::seeder::ClientName;

fn scenario(name: &str, baseline: Option<&str>) -> Scenario {
    Scenario {
        name: name.to_owned(),
        torrents: vec![Recipe::new("x", 1 << 20, 1 << 18)],
        connections: 8,
        cold: false,
        warm: true,
        span: Span::Laps(1),
        seeder_cores: vec![0],
        load_cores: vec![1],
        baseline: baseline.map(str::to_owned),
    }
}

fn sample(gib_per_s: f64, cpu_s_per_gib: f64, generator_busy: f64) -> Sample {
    Sample {
        gib: 4.0,
        seconds: 4.0 / gib_per_s,
        gib_per_s,
        cpu_s_per_gib,
        cpu_both_s_per_gib: cpu_s_per_gib + 0.2,
        latency: Latency {
            p50_ms: 1.0,
            p99_ms: 2.0,
            p999_ms: 3.0,
            max_ms: 4.0,
        },
        slowest_share: 0.9,
        memory: Memory {
            resident_peak_kib: 10 << 10,
            anonymous_kib: 5 << 10,
            ..Memory::default()
        },
        seeder_busy: 1.0,
        generator_busy,
        disturbed: 0.2,
    }
}

fn row(scenario: &Scenario, client: ClientName, samples: &[(f64, f64)]) -> SeedRow {
    let mut row = SeedRow::new(scenario, client, "1.0");
    for &(gib_per_s, cpu_s_per_gib) in samples {
        row.add(Ok(sample(gib_per_s, cpu_s_per_gib, 0.5)));
    }
    row
}

fn machine() -> Machine {
    Machine {
        cpu: "A CPU".into(),
        cores: 2,
        memory_mib: 1024,
        kernel: "6.18".into(),
        disk: "ext4 /dev/x".into(),
        date: "2026-11-21 08:00".into(),
        command: "shoal-bench seed".into(),
    }
}

fn report(rows: Vec<SeedRow>) -> SeedReport {
    let mut report = SeedReport::new(machine(), vec!["rqbit skipped: not here".into()]);
    report.rows = rows;
    report.compare();
    report
}

#[test]
fn medians_are_not_moved_by_one_bad_run() {
    let spread = |values: &[f64]| Spread::of(values.iter().copied());
    assert_eq!(
        spread(&[3.0, 100.0, 1.0]),
        Some(Spread {
            median: 3.0,
            min: 1.0,
            max: 100.0
        })
    );
    assert_eq!(
        spread(&[4.0, 2.0]),
        Some(Spread {
            median: 3.0,
            min: 2.0,
            max: 4.0
        })
    );
    assert_eq!(spread(&[]), None);
}

#[test]
fn ratios_compare_shoal_with_each_rival_in_the_same_scenario() {
    let (cold, hot) = (scenario("cold", None), scenario("hot", None));
    let report = report(vec![
        row(&cold, ClientName::Shoal, &[(2.0, 0.3), (1.0, 0.4), (1.5, 0.35)]),
        row(&cold, ClientName::Rqbit, &[(1.0, 0.7)]),
        row(&cold, ClientName::Libtorrent, &[]),
        row(&hot, ClientName::Rqbit, &[(9.0, 9.0)]),
    ]);
    let [ratio] = report.ratios.as_slice() else {
        panic!("{:?}", report.ratios)
    };
    assert_eq!((ratio.of.as_str(), ratio.to.as_str()), ("shoal", "rqbit"));
    assert_eq!((ratio.cpu_s_per_gib, ratio.gib_per_s), (0.5, 1.5));
}

#[test]
fn a_variation_is_compared_with_the_same_client_in_its_baseline() {
    let (few, many) = (scenario("many-8", None), scenario("many-64", Some("many-8")));
    let report = report(vec![
        row(&few, ClientName::Rqbit, &[(1.0, 0.5)]),
        row(&many, ClientName::Rqbit, &[(0.5, 0.6)]),
    ]);
    let [ratio] = report.ratios.as_slice() else {
        panic!("{:?}", report.ratios)
    };
    assert_eq!(ratio.to, "itself in many-8");
    assert_eq!((ratio.cpu_s_per_gib, ratio.gib_per_s), (1.2, 0.5));
}

#[test]
fn the_text_has_the_table_the_ratios_and_every_caveat() {
    let hot = scenario("hot", None);
    let mut shoal = row(&hot, ClientName::Shoal, &[]);
    shoal.add(Ok(sample(4.0, 0.2, 0.99)));
    let mut rtorrent = row(&hot, ClientName::Rtorrent, &[(1.0, 0.8)]);
    rtorrent.add(Err(anyhow::anyhow!("it fell over")));
    let text = report(vec![shoal, rtorrent]).text();
    for expected in [
        "A CPU, 2 cores",
        "shoal 1.0",
        "4.00",
        "shoal / rtorrent",
        "0.25",
        "rqbit skipped: not here",
        "rtorrent in hot failed: it fell over",
        "shoal in hot: the load generator was the limit",
        "shoal in hot: others used 20 % of a CPU",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing in:\n{text}");
    }
}

#[test]
fn figures_stand_below_their_headings() {
    let mut table = Table::new(&["a", "b", "n"]);
    table.add(vec!["long".into(), "x".into(), "1.25".into()]);
    table.add(vec!["s".into()]);
    assert_eq!(table.text(), "a     b     n\nlong  x  1.25\ns\n");
}

#[test]
fn json_has_every_sample() {
    let hot = scenario("hot", None);
    let report = report(vec![row(&hot, ClientName::Shoal, &[(4.0, 0.2), (3.0, 0.3)])]);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["rows"][0]["client"], "shoal");
    assert_eq!(json["rows"][0]["samples"].as_array().unwrap().len(), 2);
    assert_eq!(json["rows"][0]["summary"]["gib_per_s"]["median"], 3.5);
}

/// A client that fetched a GiB per run, in so many seconds each, with a second of CPU time in each.
fn fetch_row(scenario: fetch::Scenario, client: ClientName, seconds: &[f64], seeder_busy: f64) -> FetchRow {
    let mut row = FetchRow::new(scenario, client, "1.0");
    for &seconds in seconds {
        row.add(Ok(FetchSample {
            gib: 1.0,
            seconds,
            first_payload_seconds: 0.1,
            after_payload_seconds: 0.3,
            sync_seconds: 1.0,
            user_seconds: 0.75,
            system_seconds: 0.25,
            seeder_seconds: 0.5,
            resident_peak_kib: 99 << 10,
            written_share: 1.0,
            sent_share: 1.01,
            fetcher_busy: 0.9,
            seeder_busy,
            others_busy: 0.4,
        }));
    }
    row
}

#[test]
fn fetching_is_compared_with_rivals_and_with_one_peer() {
    let mut report = FetchReport::new(machine(), Vec::new(), 0.3);
    report.rows = vec![
        fetch_row(fetch::Scenario::One, ClientName::Shoal, &[1.0, 3.0, 9.0], 0.5),
        fetch_row(fetch::Scenario::One, ClientName::Rqbit, &[15.0], 0.5),
        fetch_row(fetch::Scenario::Eight, ClientName::Shoal, &[6.0], 0.5),
    ];
    report.compare();
    let seen: Vec<_> = report
        .ratios
        .iter()
        .map(|ratio| {
            let to = ratio.to.as_str();
            (to, ratio.cpu_s_per_gib, ratio.gib_per_s, ratio.synced_gib_per_s)
        })
        .collect();
    let median_with_sync = 4.0;
    let expected = [
        ("rqbit", 1.0, 5.0, Some((1.0 / median_with_sync) / (1.0 / 16.0))),
        (
            "itself in one",
            1.0,
            0.5,
            Some((1.0 / 7.0) / (1.0 / median_with_sync)),
        ),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn the_text_of_fetching_has_every_figure_and_every_caveat() {
    let mut report = FetchReport::new(machine(), vec!["rqbit skipped: not here".into()], 2.94);
    let mut failed = FetchRow::new(fetch::Scenario::Hundred, ClientName::Libtorrent, "2.1");
    failed.add(Err(anyhow::anyhow!("byte 7 is wrong")));
    let shoal = fetch_row(fetch::Scenario::One, ClientName::Shoal, &[2.0], 0.99);
    report.rows = vec![
        shoal,
        fetch_row(fetch::Scenario::One, ClientName::Rqbit, &[4.0], 0.2),
        failed,
    ];
    report.compare();
    let text = report.text();
    for expected in [
        "A CPU, 2 cores",
        "one       shoal 1.0         0.50  (0.50-0.50)    0.33",
        "shoal / rqbit       1.00   2.00    1.67",
        "libtorrent 2.1  failed",
        "note: rqbit skipped: not here",
        "note: free memory costs 2.9 CPU s/GiB to take here",
        "note: libtorrent from hundred failed: byte 7 is wrong",
        "note: shoal from one: the seeder was the limit",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing in:\n{text}");
    }
    assert!(!text.contains("rqbit from one: the seeder"), "{text}");
}
