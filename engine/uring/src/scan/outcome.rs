//! What the workers found, put together into one report.

use super::files::{Observation, Seen};
use super::space::Space;
use super::{Part, PartOutcome, Piece, Report, Source};
use shoal_world::{FileStamp, StampChange};

/// What one worker found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Pieces by index.
    pub(super) pieces: Vec<(u64, Piece)>,
    /// Each opening of a file.
    pub(super) observations: Vec<Observation>,
}

/// Everything in order. Of pieces that were not `wanted`, and of parts without one that was, nothing
/// need have been found.
pub(super) fn report(space: &Space<'_>, wanted: Option<&[bool]>, findings: Vec<Findings>) -> Report {
    let mut pieces = vec![None; space.pieces() as usize];
    let mut seen: Vec<Option<Seen>> = vec![None; space.parts().len()];
    for findings in findings {
        for (index, piece) in findings.pieces {
            let before = pieces[index as usize].replace(piece);
            assert!(before.is_none(), "piece {index} was hashed twice");
        }
        for Observation { part, seen: more } in findings.observations {
            seen[part] = Some(seen[part].map_or(more, |seen| both(seen, more)));
        }
    }
    let is_wanted = |index: usize| wanted.is_none_or(|wanted| wanted[index]);
    let piece = |(index, piece): (usize, Option<Piece>)| match piece {
        Some(piece) => piece,
        None if !is_wanted(index) => Piece::Skipped,
        None => panic!("every piece that is wanted was claimed by a worker"),
    };
    Report {
        pieces: pieces.into_iter().enumerate().map(piece).collect(),
        parts: space
            .parts()
            .iter()
            .zip(seen)
            .map(|(part, seen)| match seen {
                None if wanted.is_some() && part.source != Source::Zeroes => PartOutcome::Skipped,
                seen => outcome(part, seen),
            })
            .collect(),
    }
}

/// Two observations of one part as one: a failure wins, and stamps are from the earliest to the first that differs.
fn both(one: Seen, other: Seen) -> Seen {
    match (one, other) {
        (Seen::File { before, after }, Seen::File { before: b, after: a }) => {
            let differing = [after, b, a].into_iter().find(|stamp| differs(&before, stamp));
            Seen::File {
                before,
                after: differing.unwrap_or(a),
            }
        }
        (Seen::File { .. }, failure) | (failure, _) => failure,
    }
}

fn differs(before: &FileStamp, after: &FileStamp) -> bool {
    before.change(after) != StampChange::None
}

fn outcome(part: &Part, seen: Option<Seen>) -> PartOutcome {
    match (&part.source, seen) {
        (Source::Zeroes, _) => PartOutcome::Zeroes,
        (Source::File(_), Some(Seen::Missing)) => PartOutcome::Missing,
        (Source::File(_), Some(Seen::Refused(refusal))) => PartOutcome::Refused(refusal),
        (Source::File(_), Some(Seen::File { before, after })) => {
            if differs(&before, &after) {
                PartOutcome::Changed { before, after }
            } else if before.size < part.len {
                PartOutcome::Short(before)
            } else {
                PartOutcome::Read(before)
            }
        }
        (Source::File(path), None) => panic!("{} was never opened", path.display()),
    }
}

#[cfg(test)]
mod tests;
