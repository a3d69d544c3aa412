//! `shoal completions` and `shoal man`: the command line described for shells and for `man`.

use crate::args::Arguments;
use crate::failure::{Exit, Failure};
use crate::output;
use clap::CommandFactory;
use clap_complete::Shell;
use serde_json::json;

pub(crate) fn completions(shell: Shell, json: bool) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "shoal", &mut script);
    write(&shell.to_string(), &script, json)
}

/// The page of one command, or of the whole.
pub(crate) fn man(command: Option<&str>, json: bool) -> Result<Exit, Failure> {
    let mut whole = Arguments::command();
    whole.build();
    let described = match command {
        None => &whole,
        Some(name) => whole
            .find_subcommand(name)
            .ok_or_else(|| Failure::bad_input(format!("there is no command `{name}`; see shoal --help")))?,
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(described.clone())
        .render(&mut page)
        .expect("a vector takes all bytes");
    write(command.unwrap_or("shoal"), &page, json)
}

fn write(name: &str, text: &[u8], json: bool) -> Result<Exit, Failure> {
    if json {
        output::json(&json!({ "name": name, "text": String::from_utf8_lossy(text) }))?;
    } else {
        output::bytes(text)?;
    }
    Ok(Exit::Done)
}
