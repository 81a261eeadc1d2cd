//! How time and memory grow with the number of partitions: the table of docs/design/growth.md.

use super::board::ms;
use super::grid::{name, partition};
use super::null::{made, null};
use super::process::{interleaved, median, time};
use super::{GIORNATA, Wanted};

/// Assets and partitions of each.
const SIZES: [(u32, u32); 4] = [(10, 1_000), (100, 1_000), (100, 10_000), (1_000, 10_000)];

pub fn measure(wanted: &Wanted) {
    println!(
        "| partitions | assets x files | nothing to do | its memory | `status` | `why` | store |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (assets, partitions) in SIZES {
        if assets == 1_000 && !wanted.large {
            continue;
        }
        let grid = made(wanted, assets, partitions);
        let why = format!("{}@{}", name(assets - 1), partition(partitions / 2));
        let runs = interleaved(
            5,
            &mut [
                &mut || null(&grid),
                &mut || time(&grid.root, &[GIORNATA, "status"]),
                &mut || time(&grid.root, &[GIORNATA, "why", &why]),
            ],
        );
        let [null, status, why] = [0, 1, 2].map(|i| median(&runs[i]));
        let store = std::fs::metadata(grid.root.join(".giornata/giornata.db"));
        let store_mb = store.expect("the store is there").len() >> 20;
        println!(
            "| {} | {assets} x {partitions} | {:.0} ms | {:.0} MB | {:.0} ms | {:.0} ms | {store_mb} MB |",
            u64::from(assets) * u64::from(partitions),
            ms(null.wall),
            null.peak_mb,
            ms(status.wall),
            ms(why.wall),
        );
    }
}
