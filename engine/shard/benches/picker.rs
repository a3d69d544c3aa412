//! What picking costs, in ns of this thread's wall clock: `cargo bench -p shoal-shard --bench picker`.
//!
//! The question is whether it stays flat from 100 to 100,000 pieces. Columns: a `have` from one of 50 peers; a new
//! piece of 16 blocks picked for a seed, for a peer that has half, for one that has 100 pieces, and the same in order
//! instead of by rarity; a block (landed and the next one asked for) of pieces in progress; a peer of 50 % that comes
//! and goes. Each is the median of several turns. Whole pieces are picked and then lost, so that nothing runs out.

#![expect(clippy::disallowed_methods, reason = "a bench looks at the clock")]

// The picker is the shard's own, so the bench takes its source.
#[expect(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "the bench uses a part, and is not built as a test"
)]
#[path = "../src"]
mod shard {
    pub(crate) mod picker;
}

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use shard::picker::{Asker, Order, Picker};
use shoal_proto::bitfield::Bitfield;
use shoal_proto::layout::{BLOCK_LEN, FileLength, Layout, PieceIndex, Span};
use shoal_world::{Rng, Socket};

const TURNS: usize = 11;

/// Operations in one turn.
const REPEATS: u32 = 2_000;

const PEERS: u32 = 50;

const BLOCKS: u32 = 16;

struct Swarm {
    layout: Arc<Layout>,
    picker: Picker,
    rng: Rng,
    out: Vec<Span>,
}

fn main() {
    let columns = ["have", "seed", "half", "few", "in order", "block", "comes+goes"];
    print!("{:>8}", "pieces");
    columns.iter().for_each(|column| print!("{column:>12}"));
    println!();
    for pieces in [100, 1_000, 10_000, 100_000] {
        let mut swarm = Swarm::new(pieces);
        let few = swarm.random(100.0 / f64::from(pieces));
        let (half, all) = (swarm.random(0.5), Bitfield::all(pieces));
        let costs_ns = [
            swarm.have(),
            swarm.new_piece(&all),
            swarm.new_piece(&half),
            swarm.new_piece(&few),
            swarm.in_order(&half),
            swarm.block(&all),
            swarm.comes_and_goes(&half),
        ];
        print!("{pieces:>8}");
        costs_ns.iter().for_each(|cost_ns| print!("{cost_ns:>12.0}"));
        println!();
    }
}

impl Swarm {
    /// A torrent of which ten pieces are had, and peers that have more and more of it.
    fn new(pieces: u32) -> Swarm {
        let len = u64::from(pieces) * u64::from(BLOCKS * BLOCK_LEN);
        let file = FileLength { len, padding: false };
        let layout = Arc::new(Layout::new(BLOCKS * BLOCK_LEN, [file]).expect("the lengths make a torrent"));
        let mut have = Bitfield::none(pieces);
        for piece in layout.piece_indices().take(10) {
            have.set(piece);
        }
        let mut swarm = Swarm {
            picker: Picker::new(Arc::clone(&layout), &have, Order::RarestFirst),
            layout,
            rng: Rng::new(1),
            out: Vec::new(),
        };
        for peer in 0..PEERS {
            let field = swarm.random(f64::from(peer) / f64::from(PEERS));
            swarm.picker.peer_joined(&field);
        }
        swarm
    }

    fn random(&mut self, part: f64) -> Bitfield {
        let mut field = Bitfield::none(self.layout.pieces());
        for piece in self.layout.piece_indices() {
            if f64::from(self.rng.below(1 << 20)) < part * f64::from(1 << 20) {
                field.set(piece);
            }
        }
        field
    }

    fn have(&mut self) -> f64 {
        let mut pieces: Vec<PieceIndex> = Vec::new();
        median(|| {
            let (layout, rng) = (&self.layout, &mut self.rng);
            pieces.clear();
            pieces.extend((0..REPEATS).filter_map(|_| layout.piece(rng.below(layout.pieces()))));
            let began = Instant::now();
            for piece in &pieces {
                self.picker.peer_has(*piece);
            }
            let spent = elapsed_ns(began);
            // Taken back, so that rarities do not all end at the top.
            for piece in &pieces {
                let mut one = Bitfield::none(self.layout.pieces());
                one.set(*piece);
                self.picker.peer_left(&one);
            }
            spent
        })
    }

    /// Rarest first: a piece is begun, and given up again outside of what is measured.
    fn new_piece(&mut self, pieces: &Bitfield) -> f64 {
        median(|| {
            let mut spent = 0.0;
            for _ in 0..REPEATS {
                self.out.clear();
                let began = Instant::now();
                self.pick(pieces, BLOCKS as usize);
                spent += elapsed_ns(began);
                let picked = black_box(self.out[0].piece());
                self.picker.lost(picked);
            }
            spent
        })
    }

    fn in_order(&mut self, pieces: &Bitfield) -> f64 {
        self.picker.set_order(Order::Sequential);
        let cost_ns = self.new_piece(pieces);
        self.picker.set_order(Order::RarestFirst);
        cost_ns
    }

    fn block(&mut self, pieces: &Bitfield) -> f64 {
        self.out.clear();
        self.pick(pieces, 64);
        let mut asked: std::collections::VecDeque<Span> = self.out.drain(..).collect();
        let cost_ns = median(|| {
            let began = Instant::now();
            for _ in 0..REPEATS {
                let block = asked.pop_front().expect("64 blocks are always asked for");
                if matches!(
                    self.picker.landed(socket(), block),
                    shard::picker::Landed::Complete { .. }
                ) {
                    self.picker.lost(block.piece());
                }
                self.out.clear();
                self.pick(pieces, 1);
                asked.extend(self.out.first());
            }
            elapsed_ns(began)
        });
        self.picker.peer_gone(socket());
        cost_ns
    }

    fn comes_and_goes(&mut self, pieces: &Bitfield) -> f64 {
        let per_call = median(|| {
            let began = Instant::now();
            for _ in 0..REPEATS / 100 {
                self.picker.peer_joined(pieces);
                self.picker.peer_left(pieces);
            }
            elapsed_ns(began)
        });
        per_call * 100.0
    }

    fn pick(&mut self, pieces: &Bitfield, count: usize) {
        let asker = Asker {
            socket: socket(),
            pieces,
            allowed: None,
            suggested: &[],
            alone: false,
        };
        self.picker
            .pick(asker, count, &mut self.rng, &mut |_| true, &mut self.out);
    }
}

fn socket() -> Socket {
    Socket {
        slot: 0,
        generation: 0,
    }
}

/// The median turn's cost of one operation.
fn median(mut turn: impl FnMut() -> f64) -> f64 {
    let mut costs_ns: Vec<f64> = (0..TURNS).map(|_| turn() / f64::from(REPEATS)).collect();
    costs_ns.sort_by(f64::total_cmp);
    costs_ns[TURNS / 2]
}

fn elapsed_ns(began: Instant) -> f64 {
    began.elapsed().as_nanos() as f64
}
