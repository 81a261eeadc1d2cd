//! The graph as text for other programs: Graphviz, Mermaid, JSON.

use serde::Serialize;

use super::super::json::Document;
use super::{Of, Picture, Shape};

pub(super) fn dot(picture: &Picture) -> String {
    let mut text =
        "digraph assets {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n".to_owned();
    for node in &picture.nodes {
        let shape = match node.shape {
            Shape::Source => "cylinder",
            Shape::Asset => "box",
        };
        let name = in_dot(node.name.as_str());
        let label = in_dot(&format!("{} ({})", node.name, node.kind));
        text += &format!("  {name} [shape={shape}, label={label}");
        if !node.description.is_empty() {
            text += &format!(", tooltip={}", in_dot(&node.description));
        }
        text += "];\n";
    }
    for edge in &picture.edges {
        let [from, to] = [edge.from, edge.to].map(|it| in_dot(picture.nodes[it].name.as_str()));
        text += &format!("  {from} -> {to}");
        if !edge.how.is_empty() {
            text += &format!(" [label={}]", in_dot(&edge.how));
        }
        text += ";\n";
    }
    text + "}\n"
}

/// A quoted string. A backslash would begin an escape.
fn in_dot(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' => quoted += "\\\"",
            '\\' => quoted += "\\\\",
            '\n' => quoted += "\\n",
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

pub(super) fn mermaid(picture: &Picture) -> String {
    let mut text = "flowchart LR\n".to_owned();
    for (index, node) in picture.nodes.iter().enumerate() {
        let label = in_mermaid(&format!("{} ({})", node.name, node.kind));
        text += &match node.shape {
            Shape::Source => format!("  n{index}[(\"{label}\")]\n"),
            Shape::Asset => format!("  n{index}[\"{label}\"]\n"),
        };
    }
    for edge in &picture.edges {
        let label = match edge.how.as_str() {
            "" => String::new(),
            mapping => format!("|\"{}\"|", in_mermaid(mapping)),
        };
        text += &format!("  n{} -->{label} n{}\n", edge.from, edge.to);
    }
    text
}

/// The inside of a quoted label: everything that could mean something is written by its number.
fn in_mermaid(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' => safe.push(c),
            ' ' | '_' | '-' | '/' | '(' | ')' | ',' | '.' | ':' | '=' => safe.push(c),
            c if c.is_control() => safe.push(' '),
            c => safe += &format!("#{};", u32::from(c)),
        }
    }
    safe
}

#[derive(Serialize)]
struct GraphDocument<'a> {
    nodes: Vec<NodeEntry<'a>>,
    edges: Vec<EdgeEntry<'a>>,
}

#[derive(Serialize)]
struct NodeEntry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    asset: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
    kind: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    partitions: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
}

#[derive(Serialize)]
struct EdgeEntry<'a> {
    from: &'a str,
    to: &'a str,
    /// Between assets.
    #[serde(skip_serializing_if = "Option::is_none")]
    mapping: Option<&'a str>,
    /// Between steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    how: Option<&'a str>,
}

pub(super) fn json(picture: &Picture) -> String {
    let name = |index: usize| picture.nodes[index].name.as_str();
    let of = |kind: Of, text| (picture.of == kind).then_some(text);
    let nodes = picture.nodes.iter().map(|node| NodeEntry {
        asset: of(Of::Assets, node.name.as_str()),
        step: of(Of::Steps, node.name.as_str()),
        kind: &node.kind,
        partitions: &node.partitions,
        description: &node.description,
    });
    let edges = picture.edges.iter().map(|edge| EdgeEntry {
        from: name(edge.from),
        to: name(edge.to),
        mapping: of(Of::Assets, if edge.how.is_empty() { "default" } else { &edge.how }),
        how: of(Of::Steps, edge.how.as_str()).filter(|how| !how.is_empty()),
    });
    Document::text(GraphDocument { nodes: nodes.collect(), edges: edges.collect() })
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use expect_test::expect;

    #[test]
    fn hostile_texts_stay_texts_in_dot() {
        expect![[r#"
            digraph assets {
              rankdir=LR;
              node [fontname="sans-serif"];
              "raw" [shape=cylinder, label="raw (source)"];
              "mart/a" [shape=box, label="mart/a (sql)", tooltip="\"]</title><script>alert('x')</script>&\\\n "];
              "b" [shape=box, label="b (sql)"];
              "raw" -> "mart/a";
              "raw" -> "b" [label="all"];
              "mart/a" -> "mart/a" [label="last(1)"];
              "mart/a" -> "b";
            }
        "#]]
        .assert_eq(&dot(&sample()));
    }

    #[test]
    fn mermaid_has_names_and_mappings() {
        expect![[r#"
            flowchart LR
              n0[("raw (source)")]
              n1["mart/a (sql)"]
              n2["b (sql)"]
              n0 --> n1
              n0 -->|"all"| n2
              n1 -->|"last(1)"| n1
              n1 --> n2
        "#]]
        .assert_eq(&mermaid(&sample()));
        assert_eq!(in_mermaid("\"]\n--> x; é"), "#34;#93; --#62; x#59; #233;");
    }

    #[test]
    fn json_can_be_read_back() {
        let value: serde_json::Value = serde_json::from_str(&json(&sample())).unwrap();
        assert_eq!(value["schema"], 1);
        assert_eq!(value["nodes"][1]["description"], sample().nodes[1].description.as_str());
        assert_eq!(value["edges"][3]["to"], "b");
    }
}
