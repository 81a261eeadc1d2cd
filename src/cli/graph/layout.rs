//! Where the boxes and lines of a graph go: columns from left to right, a pure function of sizes and
//! edges.
//!
//! A node stands one column behind the last of those that it reads (longest path). An edge that
//! passes columns goes through a place of its own in each of them, which all edges from the same node
//! share. Within a column the order follows the means of the neighbours (barycentre) as long as that
//! saves crossings, and each thing then stands as near to its neighbours as the order allows.

use std::collections::BTreeSet;

/// Between the columns: where lines are not level.
const COLUMN_GAP: f64 = 56.0;
/// Between things in one column.
const ROW_GAP: f64 = 14.0;
/// What a passing line takes of a column.
const LINE_HEIGHT: f64 = 6.0;
const MARGIN: f64 = 12.0;
/// Sweeps over all columns, in both directions by turns.
const SWEEPS: usize = 12;

/// A box, before and after it has a place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Size {
    pub width: f64,
    pub height: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub x: f64,
    pub y: f64,
}

/// A drawing.
#[derive(Debug, PartialEq)]
pub(super) struct Layout {
    pub size: Size,
    /// For each node its column, and the upper left corner of its box.
    pub columns: Vec<usize>,
    pub corners: Vec<Point>,
    /// For each edge from the right side of one box to the left side of another.
    pub lines: Vec<Line>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Line {
    pub from: usize,
    pub to: usize,
    pub points: Vec<Point>,
}

/// A node or the passage of lines through a column.
struct Item {
    column: usize,
    height: f64,
    /// Items of the column before, and of the column behind, that lines lead to.
    before: Vec<usize>,
    behind: Vec<usize>,
}

/// Draws `sizes` with `edges` between them. An edge that closes a cycle is left out.
pub(super) fn layout(sizes: &[Size], edges: &[(usize, usize)]) -> Layout {
    let (columns, edges) = assign_columns(sizes.len(), edges);
    let (mut items, chains) = items(sizes, &columns, &edges);
    for &(from, to) in &edges {
        let passed = columns[to] - columns[from] - 1;
        let last = passed.checked_sub(1).map_or(from, |last| chains[from][last]);
        items[last].behind.push(to);
        items[to].before.push(last);
    }
    let order = order(&items);
    let middles = middles(&items, &order);
    place(sizes, &columns, &edges, &chains, &middles)
}

/// The column of each node, and the edges that lead forwards.
fn assign_columns(count: usize, edges: &[(usize, usize)]) -> (Vec<usize>, Vec<(usize, usize)>) {
    let edges: BTreeSet<(usize, usize)> = edges.iter().copied().filter(|(a, b)| a != b).collect();
    let mut behind = vec![Vec::new(); count];
    let mut open = vec![0_usize; count];
    for &(from, to) in &edges {
        behind[from].push(to);
        open[to] += 1;
    }
    let mut columns = vec![0; count];
    let mut rank = vec![None; count];
    let mut ready: BTreeSet<usize> = (0..count).filter(|node| open[*node] == 0).collect();
    let mut left: BTreeSet<usize> = (0..count).collect();
    for place in 0..count {
        // With none ready there is a cycle, which is cut before its first node.
        let next = ready.pop_first().or_else(|| left.first().copied());
        let node = next.expect("as many nodes as places");
        left.remove(&node);
        rank[node] = Some(place);
        for &to in behind[node].iter().filter(|to| left.contains(to)) {
            columns[to] = columns[to].max(columns[node] + 1);
            open[to] -= 1;
            if open[to] == 0 {
                ready.insert(to);
            }
        }
    }
    let edges: Vec<_> = edges.into_iter().filter(|(a, b)| rank[*a] < rank[*b]).collect();
    (close_up(columns, &edges), edges)
}

/// What reads nothing stands right before the first that reads it.
fn close_up(mut columns: Vec<usize>, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut nearest = vec![usize::MAX; columns.len()];
    let mut reads = vec![false; columns.len()];
    for &(from, to) in edges {
        nearest[from] = nearest[from].min(columns[to] - 1);
        reads[to] = true;
    }
    for (node, nearest) in nearest.into_iter().enumerate() {
        if !reads[node] && nearest != usize::MAX {
            columns[node] = nearest;
        }
    }
    columns
}

/// The nodes as items, then the passages; and for each node its passages, column by column.
fn items(
    sizes: &[Size],
    columns: &[usize],
    edges: &[(usize, usize)],
) -> (Vec<Item>, Vec<Vec<usize>>) {
    let item = |column, height| Item { column, height, before: Vec::new(), behind: Vec::new() };
    let mut items: Vec<Item> =
        sizes.iter().zip(columns).map(|(size, column)| item(*column, size.height)).collect();
    let mut chains: Vec<Vec<usize>> = vec![Vec::new(); sizes.len()];
    for &(from, to) in edges {
        while columns[from] + chains[from].len() + 1 < columns[to] {
            let passage = items.len();
            items.push(item(columns[from] + chains[from].len() + 1, LINE_HEIGHT));
            let last = chains[from].last().copied().unwrap_or(from);
            items[last].behind.push(passage);
            items[passage].before.push(last);
            chains[from].push(passage);
        }
    }
    (items, chains)
}

/// The items of each column from top to bottom.
fn order(items: &[Item]) -> Vec<Vec<usize>> {
    let count = items.iter().map(|item| item.column + 1).max().unwrap_or(0);
    let mut order = vec![Vec::new(); count];
    for (index, item) in items.iter().enumerate() {
        order[item.column].push(index);
    }
    let mut best = (crossings(items, &order), order.clone());
    for sweep in 0..SWEEPS {
        if best.0 == 0 {
            break;
        }
        let forwards = sweep % 2 == 0;
        for step in 1..count {
            let column = if forwards { step } else { count - 1 - step };
            let fixed = if forwards { column - 1 } else { column + 1 };
            let place = places(items.len(), &order[fixed]);
            let neighbours = |index: usize| {
                if forwards { &items[index].before } else { &items[index].behind }
            };
            sort_by_means(&mut order[column], &place, neighbours);
        }
        let count = crossings(items, &order);
        if count < best.0 {
            best = (count, order.clone());
        }
    }
    best.1
}

fn places(count: usize, column: &[usize]) -> Vec<f64> {
    let mut places = vec![0.0; count];
    for (place, index) in column.iter().enumerate() {
        places[*index] = place as f64;
    }
    places
}

/// Things without neighbours keep their place; the others share the rest in the order of the means.
fn sort_by_means<'a>(
    column: &mut [usize],
    place: &[f64],
    neighbours: impl Fn(usize) -> &'a Vec<usize>,
) {
    let mean = |index: usize| {
        let near = neighbours(index);
        near.iter().map(|it| place[*it]).sum::<f64>() / near.len() as f64
    };
    let held: Vec<usize> =
        (0..column.len()).filter(|at| !neighbours(column[*at]).is_empty()).collect();
    let mut sorted: Vec<(f64, usize)> =
        held.iter().map(|at| (mean(column[*at]), column[*at])).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (at, (_, index)) in held.into_iter().zip(sorted) {
        column[at] = index;
    }
}

/// How often lines cross: for each two columns the inversions of the ends, by a tree of counts.
fn crossings(items: &[Item], order: &[Vec<usize>]) -> u64 {
    let mut total = 0;
    let mut place = vec![0; items.len()];
    for pair in order.windows(2) {
        for (at, index) in pair[1].iter().enumerate() {
            place[*index] = at;
        }
        let mut tree = vec![0_u64; pair[1].len() + 1];
        let mut seen = 0;
        for index in &pair[0] {
            let ends: Vec<usize> = items[*index].behind.iter().map(|it| place[*it]).collect();
            for end in &ends {
                total += seen - up_to(&tree, *end);
            }
            seen += ends.len() as u64;
            ends.into_iter().for_each(|end| count(&mut tree, end));
        }
    }
    total
}

/// How many of the counted ends are at `end` or above.
fn up_to(tree: &[u64], end: usize) -> u64 {
    let mut at = end + 1;
    let mut sum = 0;
    while at > 0 {
        sum += tree[at];
        at &= at - 1;
    }
    sum
}

fn count(tree: &mut [u64], end: usize) {
    let mut at = end + 1;
    while at < tree.len() {
        tree[at] += 1;
        at += at & at.wrapping_neg();
    }
}

/// The height of the middle of each item.
fn middles(items: &[Item], order: &[Vec<usize>]) -> Vec<f64> {
    let mut middles = vec![0.0; items.len()];
    for column in order {
        let wanted = vec![0.0; column.len()];
        stand(items, column, &wanted, &mut middles);
    }
    for sweep in 0..SWEEPS {
        for step in 0..order.len() {
            let column = &order[if sweep % 2 == 0 { step } else { order.len() - 1 - step }];
            let wanted: Vec<f64> = column
                .iter()
                .map(|index| {
                    let item = &items[*index];
                    let near: Vec<f64> =
                        item.before.iter().chain(&item.behind).map(|it| middles[*it]).collect();
                    let mean = near.iter().sum::<f64>() / near.len().max(1) as f64;
                    if near.is_empty() { middles[*index] } else { mean }
                })
                .collect();
            stand(items, column, &wanted, &mut middles);
        }
    }
    middles
}

/// Places a column as near to `wanted` as order and distances allow (least squares): things that
/// would be too close form a block, which stands at the mean of what its members want.
fn stand(items: &[Item], column: &[usize], wanted: &[f64], middles: &mut [f64]) {
    let mut offset = 0.0;
    let mut offsets = Vec::with_capacity(column.len());
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    let mut above: Option<f64> = None;
    for (index, wanted) in column.iter().zip(wanted) {
        let height = items[*index].height;
        offset += above.map_or(0.0, |above| (above + height) / 2.0 + ROW_GAP);
        above = Some(height);
        offsets.push(offset);
        let (mut sum, mut size) = (wanted - offset, 1);
        while let Some((last, members)) = blocks.last()
            && last / *members as f64 >= sum / size as f64
        {
            (sum, size) = (sum + last, size + members);
            blocks.pop();
        }
        blocks.push((sum, size));
    }
    let starts =
        blocks.iter().flat_map(|(sum, size)| std::iter::repeat_n(sum / *size as f64, *size));
    for ((index, offset), start) in column.iter().zip(offsets).zip(starts) {
        middles[*index] = start + offset;
    }
}

fn place(
    sizes: &[Size],
    columns: &[usize],
    edges: &[(usize, usize)],
    chains: &[Vec<usize>],
    middles: &[f64],
) -> Layout {
    let count = columns.iter().map(|column| column + 1).max().unwrap_or(0);
    let mut widths = vec![0.0_f64; count];
    for (size, column) in sizes.iter().zip(columns) {
        widths[*column] = widths[*column].max(size.width);
    }
    let mut lefts = Vec::with_capacity(count);
    let mut right = MARGIN;
    for width in &widths {
        lefts.push(right);
        right += width + COLUMN_GAP;
    }
    let tops = sizes.iter().zip(middles).map(|(size, middle)| middle - size.height / 2.0);
    let top = tops.chain(middles.iter().copied()).fold(f64::INFINITY, f64::min);
    let down = if top.is_finite() { MARGIN - top } else { 0.0 };
    let level = |index: usize| round(middles[index] + down);
    let corners: Vec<Point> = sizes
        .iter()
        .enumerate()
        .map(|(node, size)| Point {
            x: lefts[columns[node]],
            y: round(middles[node] + down - size.height / 2.0),
        })
        .collect();
    let line = |&(from, to): &(usize, usize)| {
        let left = lefts[columns[from]];
        let mut points = vec![Point { x: left + sizes[from].width, y: level(from) }];
        points.push(Point { x: left + widths[columns[from]], y: level(from) });
        let passed = columns[from] + 1..columns[to];
        for (column, passage) in passed.zip(&chains[from]) {
            points.push(Point { x: lefts[column], y: level(*passage) });
            points.push(Point { x: lefts[column] + widths[column], y: level(*passage) });
        }
        points.push(Point { x: lefts[columns[to]], y: level(to) });
        points.dedup();
        Line { from, to, points }
    };
    let lowest = corners.iter().zip(sizes).map(|(corner, size)| corner.y + size.height);
    let lines: Vec<Line> = edges.iter().map(line).collect();
    let bends = lines.iter().flat_map(|line| line.points.iter().map(|point| point.y));
    let height = lowest.chain(bends).fold(0.0, f64::max) + MARGIN;
    let width = if count == 0 { 2.0 * MARGIN } else { right - COLUMN_GAP + MARGIN };
    Layout { size: Size { width, height }, columns: columns.to_vec(), corners, lines }
}

/// To half a pixel: enough to see, and the same text on every machine.
fn round(value: f64) -> f64 {
    (value * 2.0).round() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: Size = Size { width: 80.0, height: 40.0 };

    fn sizes(count: usize) -> Vec<Size> {
        (0..count).map(|i| Size { width: 60.0 + (i % 7) as f64 * 9.0, ..SIZE }).collect()
    }

    /// What must hold of every drawing.
    #[track_caller]
    fn check(sizes: &[Size], edges: &[(usize, usize)]) -> Layout {
        let drawn = layout(sizes, edges);
        let bottom = |node: usize| drawn.corners[node].y + sizes[node].height;
        for (a, one) in drawn.corners.iter().enumerate() {
            assert!(one.x >= 0.0 && one.y >= 0.0, "{one:?}");
            assert!(one.x + sizes[a].width <= drawn.size.width && bottom(a) <= drawn.size.height);
            for (b, other) in drawn.corners.iter().enumerate().skip(a + 1) {
                let beside = one.x + sizes[a].width <= other.x || other.x + sizes[b].width <= one.x;
                assert!(beside || bottom(a) <= other.y || bottom(b) <= one.y, "{a} over {b}");
            }
        }
        for line in &drawn.lines {
            assert!(drawn.columns[line.from] < drawn.columns[line.to]);
            let (first, last) = (line.points[0], line.points[line.points.len() - 1]);
            assert_eq!(first.x, drawn.corners[line.from].x + sizes[line.from].width);
            assert_eq!(last.x, drawn.corners[line.to].x);
            assert!(line.points.is_sorted_by(|a, b| a.x <= b.x), "{line:?}");
            for point in &line.points {
                assert!(point.y >= 0.0 && point.y <= drawn.size.height);
            }
        }
        drawn
    }

    #[test]
    fn nothing_one_and_a_chain() {
        assert_eq!(check(&[], &[]).corners, []);
        assert_eq!(check(&[SIZE], &[(0, 0)]).lines, []);
        let chain = check(&sizes(3), &[(0, 1), (1, 2), (0, 2)]);
        assert_eq!(chain.columns, [0, 1, 2]);
        assert_eq!(chain.lines.len(), 3);
    }

    #[test]
    fn a_source_stands_next_to_its_reader() {
        assert_eq!(check(&sizes(4), &[(0, 1), (1, 2), (3, 2)]).columns, [0, 1, 2, 1]);
    }

    #[test]
    fn crossings_that_need_not_be_are_gone() {
        let drawn = check(&[SIZE; 6], &[(0, 5), (1, 4), (2, 3)]);
        let y: Vec<f64> = drawn.corners.iter().map(|corner| corner.y).collect();
        assert!(y[5] < y[4] && y[4] < y[3], "{y:?}");
        assert_eq!((y[0], y[1], y[2]), (y[5], y[4], y[3]));
    }

    #[test]
    fn a_cycle_is_cut_and_the_rest_is_drawn() {
        let drawn = check(&sizes(3), &[(0, 1), (1, 0), (1, 2)]);
        assert_eq!(drawn.lines.len(), 2);
    }

    /// Steps, not seconds: that this ends within a test's patience is the measure.
    #[test]
    fn a_thousand_nodes_are_drawn() {
        let mut state = 7_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        let edges: Vec<(usize, usize)> =
            (1..1000).flat_map(|to| [(random(to), to), (random(to), to)]).collect();
        assert_eq!(check(&sizes(1000), &edges).corners.len(), 1000);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn boxes_stand_apart_and_edges_lead_forwards(
            count in 1_usize..24,
            edges in prop::collection::vec((0_usize..24, 0_usize..24), 0..60),
        ) {
            let edges: Vec<_> = edges.iter().map(|(a, b)| (a % count, b % count))
                .filter(|(a, b)| a < b).collect();
            let drawn = check(&sizes(count), &edges);
            let wanted: BTreeSet<_> = edges.into_iter().collect();
            prop_assert_eq!(drawn.lines.len(), wanted.len());
            prop_assert_eq!(layout(&sizes(count), &wanted.into_iter().collect::<Vec<_>>()), drawn);
        }
    }
}
