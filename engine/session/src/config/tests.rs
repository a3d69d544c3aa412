use super::{Auto, Config, ConfigError, IoMode, SettingError, UploadSlots, limits};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The file that documents the settings to their users.
const CONFIG_YAML: &str = include_str!("../../../../config.yaml");
/// The file that declares them.
const CONFIG_RS: &str = include_str!("../config.rs");

/// Checks that a text is refused with exactly these lines.
fn check_refused(text: &str, expected: &[&str]) {
    let problems = Config::parse(text).expect_err("the text has mistakes");
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(lines, expected, "{text:?}");
}

/// Checks that one setting refuses a value with exactly this sentence.
fn check_value(name: &str, text: &str, expected: &str) {
    let Err(SettingError::Value(form)) = Config::default().set(name, text) else {
        panic!("`{name}` takes `{text}`");
    };
    assert_eq!(form.to_string(), expected);
}

#[test]
fn config_yaml_states_the_defaults() {
    assert_eq!(Config::parse(CONFIG_YAML), Ok(Config::default()));
    let stated: Vec<&str> = CONFIG_YAML
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .collect();
    let entries = Config::default().entries();
    let expected: Vec<String> = entries
        .iter()
        .map(|(name, text)| format!("{name}: {text}"))
        .collect();
    assert_eq!(stated, expected);
}

#[test]
fn config_yaml_repeats_the_comments_of_the_declaration() {
    let declaration = CONFIG_RS
        .split_once("pub struct Config {\n")
        .expect("the struct")
        .1;
    let declaration = declaration.split_once("\n}").expect("its end").0;
    let mut comments: Vec<String> = Vec::new();
    for line in declaration.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("///") {
            comments.push(format!("#{comment}"));
        } else if let Some(field) = line.strip_prefix("pub ") {
            let name = field.split_once(':').expect("a field has a type").0;
            let written = format!("\n\n{}\n{name}: ", comments.join("\n"));
            assert!(CONFIG_YAML.contains(&written), "config.yaml lacks: {written}");
            comments.clear();
        }
    }
}

#[test]
fn every_setting_reads_what_it_writes() {
    let mut config = Config::default();
    for (name, text) in Config::default().entries() {
        assert_eq!(config.set(name, &text), Ok(()), "{name}: {text}");
    }
    assert_eq!(config, Config::default());
}

#[test]
fn a_file_is_read_as_it_was_written() {
    let mut config = Config::default();
    for listen in ["0.0.0.0:1", "[::]:6881", "[fe80::1%2]:80"] {
        assert_eq!(config.set("listen", listen), Ok(()));
        assert_eq!(Config::parse(&config.file_text()), Ok(config.clone()), "{listen}");
    }
    // Once documented without the quotes that YAML wants.
    assert!(
        config
            .file_text()
            .starts_with("listen: '[fe80::1%2]:80'\ncores: auto\n")
    );
    let unquoted = Config::parse("listen: [::]:6881\n").expect_err("a list in YAML");
    let sentence =
        "1:9: `listen` takes one value, not a list or a mapping; an address in brackets needs quotes";
    assert_eq!(unquoted[0].to_string(), sentence);
}

#[test]
fn settings_are_read_into_their_types() {
    let text = "listen: '[::1]:0'\ncores: 3,0-1\narena_size: 128MiB\ncache_size: 2GiB\nio_mode: direct\n\
                upload_slots: 8\nidle_timeout: 5m\nhashing_threads: 2\n";
    let config = Config::parse(text).expect("a good text");
    assert_eq!(config.listen.to_string(), "[::1]:0");
    assert_eq!(config.cores, Auto::Fixed(vec![0, 1, 3]));
    assert_eq!(config.arena_size, 128 << 20);
    assert_eq!(config.cache_size, Auto::Fixed(2 << 30));
    assert_eq!(config.io_mode, IoMode::Direct);
    assert_eq!(config.upload_slots, UploadSlots::Limited(8));
    assert_eq!(config.idle_timeout, Duration::from_secs(300));
    assert_eq!(config.hashing_threads, Auto::Fixed(2));
    assert_eq!(
        config.peers_max,
        Config::default().peers_max,
        "what is left out keeps its default"
    );
    assert!(config.entries().contains(&("cores", "0-1,3".to_owned())));
}

#[test]
fn the_place_of_a_mistake_is_in_the_text() {
    // Found by the fuzz target: the parser said column 24 of a line of 20 characters.
    check_refused(
        "%\u{12}\u{39d}~\u{39d}%n'~n'~\u{39d}~\u{39d}\u{1c}ni \0",
        &["1:21: not YAML: found unprintable character; nothing after this place was read"],
    );
    // Elsewhere it counts characters.
    check_refused(
        "# \u{fc}\r\nlisten: \u{fc} : 1",
        &[
            "2:9: `listen` is `\u{fc}`; it takes an address and a port such as 0.0.0.0:6881 or [::]:6881",
            "2:11: not YAML: mapping values are not allowed in this context; nothing after this place was read",
        ],
    );
}

#[test]
fn texts_without_settings_are_the_defaults() {
    for text in ["", "\n", "# only a comment\n", "---\n", "{}", "\u{feff}"] {
        assert_eq!(Config::parse(text), Ok(Config::default()), "{text:?}");
    }
}

#[test]
fn all_mistakes_are_reported_at_once_with_their_places() {
    check_refused(
        "listen: nowhere\narena: 64MiB\npeers_max: 0\npeers_max: 5\ncores: [0, 1]\nidle_timeout:\nzzz: 1\n",
        &[
            "1:9: `listen` is `nowhere`; it takes an address and a port such as 0.0.0.0:6881 or [::]:6881",
            "2:1: there is no setting `arena`; did you mean `arena_size`?",
            "3:12: `peers_max` is `0`; it takes a whole number from 1 to 1000000",
            "4:1: `peers_max` was already set in line 3; keep one",
            "5:8: `cores` takes one value, not a list or a mapping; an address in brackets needs quotes",
            "6:1: `idle_timeout` has no value; write one, or remove the line for its default",
            "7:1: there is no setting `zzz`; `shoal config show` lists all",
        ],
    );
}

#[test]
fn the_mistakes_before_a_syntax_error_are_reported_with_it() {
    check_refused(
        "peer_max: 5\npeers_max: \"5\n",
        &[
            "1:1: there is no setting `peer_max`; did you mean `peers_max`?",
            "2:12: not YAML: while scanning a quoted scalar, found unexpected end of stream; \
             nothing after this place was read",
        ],
    );
}

#[test]
fn tabs_are_refused_where_they_stand() {
    check_refused(
        "peers_max: 5\n\tidle_timeout: 5m\n",
        &["1:12: not YAML: while scanning a plain scalar, found a tab; nothing after this place was read"],
    );
}

#[test]
fn aliases_are_refused_and_not_expanded() {
    let mut laughs = String::from("cores: &a [x, x]\n");
    for (name, previous) in ('b'..='z').zip('a'..) {
        let nine = [format!("*{previous}"), ", ".to_owned()].concat().repeat(9);
        laughs.push_str(&format!("{name}: &{name} [{nine}]\n"));
    }
    let problems = Config::parse(&laughs).expect_err("the text has mistakes");
    assert_eq!(problems.len(), 26, "one for each line, and soon");
    check_refused(
        "upload_slots: &few 4\nhashing_threads: *few\n",
        &[
            "1:15: `upload_slots` uses an anchor, alias or tag; write the value itself",
            "2:18: `hashing_threads` uses an anchor, alias or tag; write the value itself",
        ],
    );
}

#[test]
fn nothing_is_guessed_from_the_look_of_a_value() {
    check_refused(
        "io_mode: no\nupload_slots: on\npeers_max: 1e9\nhashing_threads: 017\nfiles_open_max: 0x100\n\
         requests_per_peer_max: 1_000\nidle_timeout: !!str 5m\n",
        &[
            "1:10: `io_mode` is `no`; it takes auto, direct or buffered",
            "2:15: `upload_slots` is `on`; it takes a whole number from 1 to 1000000, or unlimited or by-rate",
            "3:12: `peers_max` is `1e9`; it takes a whole number from 1 to 1000000",
            "4:18: `hashing_threads` is `017`; it takes a whole number from 1 to 1024, or auto",
            "5:17: `files_open_max` is `0x100`; it takes a whole number from 16 to 1000000",
            "6:24: `requests_per_peer_max` is `1_000`; it takes a whole number from 32 to 65536",
            "7:15: `idle_timeout` uses an anchor, alias or tag; write the value itself",
        ],
    );
}

#[test]
fn what_is_no_mapping_is_refused() {
    check_refused(
        "- peers_max: 5\n",
        &["1:1: not settings; write one `name: value` to a line"],
    );
    check_refused(
        "peers_max\n",
        &["1:1: not settings; write one `name: value` to a line"],
    );
    check_refused(
        "? [a, b]\n: 5\n",
        &["1:3: not the name of a setting; write `name: value`"],
    );
    check_refused(
        "peers_max: 5\n---\npeers_max: 6\n",
        &["2:1: a second document; keep all settings in one"],
    );
}

#[test]
fn deep_nesting_is_a_mistake_like_another() {
    let problems = Config::parse(&format!("cores: {}", "[".repeat(500_000))).expect_err("too deep");
    assert_eq!(problems.len(), 1);
    let nested = format!("cores: {}{}", "[".repeat(200), "]".repeat(200));
    check_refused(
        &nested,
        &["1:8: `cores` takes one value, not a list or a mapping; an address in brackets needs quotes"],
    );
}

#[test]
fn impossible_values_are_refused_with_what_is_possible() {
    check_value("arena_size", "1MiB", "a size such as 64MiB, from 16MiB to 64GiB");
    check_value(
        "cache_size",
        "1GB",
        "a size such as 64MiB, from 0B to 16TiB, or auto",
    );
    check_value("handshake_timeout", "10", "a duration from 1s to 1m");
    check_value("idle_timeout", "2m", "a duration from 121s to 1h");
    check_value(
        "cores",
        "0,0",
        "CPU numbers such as 0,1 or 0-3, each once, or auto",
    );
    check_value(
        "cores",
        "3-1",
        "CPU numbers such as 0,1 or 0-3, each once, or auto",
    );
    check_value(
        "cores",
        "0-99999999999",
        "CPU numbers such as 0,1 or 0-3, each once, or auto",
    );
    check_value(
        "listen",
        "6881",
        "an address and a port such as 0.0.0.0:6881 or [::]:6881",
    );
}

#[test]
fn a_value_cannot_disturb_the_terminal() {
    let problems = Config::parse("\"peers\\e[2J\": 5\n").expect_err("no setting");
    assert_eq!(
        problems[0].to_string(),
        "1:1: there is no setting `peers\u{fffd}[2J`; `shoal config show` lists all"
    );
    let long = Config::parse(&format!("peers_max: {}", "9".repeat(1000))).expect_err("too large");
    assert!(long[0].to_string().contains("999…`; it takes"));
}

#[test]
fn a_file_that_is_no_configuration_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("config.yaml");
    let check = |content: Option<&[u8]>, expected: &str| {
        if let Some(content) = content {
            fs::write(&file, content).expect("a file");
        }
        let error = Config::load(&file).expect_err("not a configuration");
        assert_eq!(error.to_string(), format!("{}{expected}", file.display()));
    };
    check(None, ": cannot be read: No such file or directory (os error 2)");
    check(Some(b"# gr\xfc\xdfe\n"), ":1: not UTF-8; save the file as UTF-8");
    check(
        Some(&vec![b'#'; limits::FILE_SIZE_MAX as usize + 1]),
        ": larger than 1MiB, so not a configuration of shoal",
    );
    check(
        Some(b"listn: 1\n"),
        ":1:1: there is no setting `listn`; did you mean `listen`?",
    );
    assert!(matches!(
        Config::load(Path::new("/")),
        Err(ConfigError::Unreadable { .. })
    ));
}
