//! A dynamic graph: how many pieces there are is known when it runs; each is mapped, all are collected.

use std::io::Write;

use giornata::api::{BoxError, job, op};

pub fn run(out: &mut dyn Write) -> Result<(), BoxError> {
    let load_pieces = op("load_pieces").pieces::<Vec<u8>>().run(|_| {
        let large_data: Vec<u8> = (1..=10).collect();
        let chunks = large_data.chunks(4).enumerate();
        Ok(chunks.map(|(idx, piece)| (idx.to_string(), piece.to_vec())).collect())
    });
    let compute_piece = op("compute_piece")
        .input::<Vec<u8>>("piece")
        .run(|_, piece| Ok(piece.iter().map(|byte| u64::from(*byte)).sum::<u64>()));
    let merge_and_analyze = op("merge_and_analyze")
        .list::<u64>("results")
        .run(|_, results| Ok(results.iter().sum::<u64>()));

    let dynamic_graph = job("dynamic_graph").define(|g| {
        let pieces = load_pieces.call(g);
        let results = pieces.map(|piece| compute_piece.call(g, piece));
        merge_and_analyze.call(g, results.collect());
    });
    let result = dynamic_graph.execute_in_process()?;
    writeln!(out, "ran: {}", result.ran().join(", "))?;
    writeln!(out, "merge_and_analyze: {}", result.value::<u64>("merge_and_analyze")?)?;
    Ok(())
}

fn main() -> Result<(), BoxError> {
    run(&mut std::io::stdout().lock())
}
