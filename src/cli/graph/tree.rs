//! The graph as a tree from its roots down. What has been spelt out is not spelt out again, so the
//! tree has a line for each edge and no more.

use super::Picture;

/// A line that is still to be written.
struct Open {
    node: usize,
    /// What stands before the children of its parent.
    indent: String,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Between,
    Last,
}

pub(super) fn render(picture: &Picture) -> String {
    let mut behind: Vec<Vec<usize>> = vec![Vec::new(); picture.nodes.len()];
    let mut is_root = vec![true; picture.nodes.len()];
    for edge in picture.edges.iter().filter(|edge| edge.from != edge.to) {
        behind[edge.from].push(edge.to);
        is_root[edge.to] = false;
    }
    for readers in &mut behind {
        readers.sort_by_key(|node| &picture.nodes[*node].name);
    }
    let roots = (0..picture.nodes.len()).filter(|node| is_root[*node]);
    let root = |node| Open { node, indent: String::new(), place: Place::Root };
    let mut stack: Vec<Open> = roots.map(root).collect();
    stack.sort_by_key(|open| std::cmp::Reverse(&picture.nodes[open.node].name));
    let mut seen = vec![false; picture.nodes.len()];
    let mut text = String::new();
    // A stack of its own: a chain of assets may be longer than the thread's stack is deep.
    while let Some(Open { node, indent, place }) = stack.pop() {
        let again = std::mem::replace(&mut seen[node], true) && !behind[node].is_empty();
        let (branch, below) = match place {
            Place::Root => ("", ""),
            Place::Between => ("├─ ", "│  "),
            Place::Last => ("└─ ", "   "),
        };
        let about = &picture.nodes[node];
        let itself = if picture.reads_itself(node) { ", reads itself" } else { "" };
        let mark = if again { "  (as above)" } else { "" };
        text += &format!("{indent}{branch}{}  ({}{itself}){mark}\n", about.name, about.kind);
        if again {
            continue;
        }
        let indent = format!("{indent}{below}");
        let mut place = Place::Last;
        for child in behind[node].iter().rev() {
            stack.push(Open { node: *child, indent: indent.clone(), place });
            place = Place::Between;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    #[test]
    fn each_edge_has_a_line() {
        expect![[r#"
            raw  (source)
            ├─ b  (sql)
            └─ mart/a  (sql, reads itself)
               └─ b  (sql)
        "#]]
        .assert_eq(&super::render(&super::super::sample()));
    }
}
