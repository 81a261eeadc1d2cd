//! Columns of text, as wide as what is in them: to be read, and to be cut by other programs.

use comfy_table::{CellAlignment, ContentArrangement, Table};

/// How a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Lines with a heading, without trailing spaces.
pub(super) fn render(columns: &[(&str, Align)], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|(name, _)| *name));
    table.add_rows(rows);
    for (column, (_, align)) in table.column_iter_mut().zip(columns) {
        column.set_padding((0, 2));
        column.set_cell_alignment(match align {
            Align::Left => CellAlignment::Left,
            Align::Right => CellAlignment::Right,
        });
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned() + "\n");
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_at_once() {
        let rows = vec![
            vec!["a".into(), "1".into(), "x".into()],
            vec!["bcd".into(), "10".into(), String::new()],
        ];
        let columns = [("name", Align::Left), ("n", Align::Right), ("what", Align::Left)];
        assert_eq!(render(&columns, rows), "name   n  what\na      1  x\nbcd   10\n");
    }
}
